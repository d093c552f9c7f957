"""What a configuration runs of what a search found: figures by eye, no engine takes part."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from export import manifest
from export.contract import Contract, Tensor
from export.cpu_engines import supports
from export.precision import calibration
from export.precision.candidates import Candidate
from export.precision.search import Trial
from export.precision.served import Verdict, verdict_of

FP32, BF16 = Candidate("fp32", "onnxruntime"), Candidate("bf16", "openvino")
INT8 = Candidate("int8", "onnxruntime", keep=("layers.1",))
TENSOR = (Tensor("x", "FP32", (3,)),)


def trial(candidate, speed, *faults):
    return Trial("encoder", candidate, 0.01, "y", {"accuracy": 0.0}, speed, faults)


def verdict(configured, best):
    return Verdict("encoder", configured, best)


def test_a_configuration_that_runs_the_best_is_left_alone():
    best = trial(BF16, 1.8)
    found = verdict(best, best)
    assert found.runs == best and not found.refusal and not found.advice
    assert str(found) == "encoder: runs bf16 openvino (1.80x) as configured: the fastest within budget"


def test_a_tenth_is_noise():
    near = verdict(trial(FP32, 1.0), trial(INT8, 1.09))
    assert near.agrees and near.runs.candidate == FP32
    assert str(near).endswith(
        "less than a tenth off the fastest within budget, int8 onnxruntime, 1 kept (1.09x)"
    )
    assert not verdict(trial(FP32, 1.0), trial(INT8, 1.2)).agrees


def test_int8_is_run_by_the_engine_that_is_configured_and_by_no_other():
    same = verdict(trial(FP32, 1.0), trial(INT8, 1.5))
    assert same.runs.candidate == INT8 and not same.advice
    assert "its graph in int8: the fastest within budget" in str(same)
    other = verdict(trial(BF16, 1.2), trial(INT8, 1.5))
    assert other.runs.candidate == BF16
    assert 'take "encoder" out of FASTER_ON_CPU' in str(other) and "export again" in str(other)


def test_int8_that_the_other_engines_do_not_bear_beside_them_stays_out():
    back = replace(verdict(trial(FP32, 1.0), trial(INT8, 1.5)), lowered=False)
    assert back.runs.candidate == FP32
    assert str(back).endswith(
        "int8 onnxruntime, 1 kept (1.50x) is within budget alone, not with the other engines"
    )


def test_a_slower_configuration_is_told_with_its_entry_and_stops_nothing():
    slow = verdict(trial(FP32, 1.0), trial(BF16, 1.8))
    assert slow.runs.candidate == FP32 and not slow.refusal
    entry = "bf16" if supports("bf16") else "fp32"
    assert f'set "encoder": "openvino {entry}" in FASTER_ON_CPU of model_repository/configuration.py' in str(
        slow
    )


def test_a_configuration_beyond_the_budget_is_refused():
    beyond = verdict(trial(BF16, 1.8, "y 0.200 apart of 0.1"), trial(FP32, 1.0))
    assert beyond.refusal == (
        "encoder: expected a configuration within budget, got bf16 openvino (y 0.200 apart of 0.1); take "
        '"encoder" out of FASTER_ON_CPU of model_repository/configuration.py, then `python -m '
        "model_repository.describe`"
    )


@pytest.mark.parametrize(
    ("engine", "parameters", "candidate"),
    [("onnxruntime", {}, FP32), ("openvino", {"HINT_BF16": "YES"}, BF16)],
)
def test_the_trial_of_a_configuration_is_found(engine, parameters, candidate):
    if candidate == BF16 and not supports("bf16"):
        pytest.skip("this processor has no bf16 instructions")
    promised = Contract("encoder", TENSOR, TENSOR, 8, engine, parameters)
    tried = [trial(FP32, 1.0), trial(BF16, 1.8), trial(INT8, None, "rows")]
    record = {"chosen": asdict(INT8), "tried": [one.as_dict() for one in tried]}
    found = verdict_of(promised, record)
    assert found.configured.candidate == candidate
    assert found.best == tried[2], "what JSON says of a trial is all of it"


@pytest.fixture
def graphs():
    return manifest.Recipe("encoder", "tiny", "0" * 64, "1" * 64, "2" * 64, {"onnx": "1"})


@pytest.fixture
def real(tmp_path):
    file = tmp_path / "encoder.npz"
    np.savez(file, **{"ranges/x": np.arange(16.0), "judged/x": np.arange(4.0)})
    return file


def folder_of(made, root):
    root.mkdir()
    (root / "model.onnx").write_bytes(b"graph")
    manifest.write(root, made, 1, [])
    return root


def test_a_graph_in_int8_and_one_in_fp32_are_never_taken_for_each_other(graphs, real, tmp_path):
    low = calibration.recipe(graphs, real, ["layers.1"])
    assert manifest.is_current(folder_of(low, tmp_path / "low"), low)
    assert not manifest.is_current(tmp_path / "low", graphs)
    assert not manifest.is_current(folder_of(graphs, tmp_path / "plain"), low)
    read = manifest.read(tmp_path / "low")
    assert (read["precision"], manifest.recipe_of(read)) == ("int8", low)


def test_other_inputs_and_other_parts_in_fp32_are_another_graph(graphs, real):
    made = calibration.recipe(graphs, real, [])
    assert calibration.recipe(graphs, real, ["layers.1"]).digest != made.digest
    np.savez(real, **{"ranges/x": np.arange(1.0, 17.0), "judged/x": np.arange(4.0)})
    assert calibration.recipe(graphs, real, []).digest != made.digest


def test_a_later_search_is_told_in_the_manifest_of_files_that_stay(graphs, tmp_path):
    folder = folder_of(graphs, tmp_path / "1")
    manifest.remember(folder, {"tried": []})
    assert manifest.read(folder)["precision_search"] == {"tried": []}
    assert manifest.is_current(folder, graphs)
    assert {file.name for file in folder.iterdir()} == {"model.onnx", "manifest.json"}
