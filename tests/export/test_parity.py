import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export import engines, parity, tolerances
from export.contract import Contract, Tensor
from export.example_inputs import draw
from multimodal.weld_classes import MODALITIES

MODELS = [*(f"tiny_{modality}_encoder" for modality in MODALITIES), "tiny_fusion"]
NOSE = Contract(
    "nose", (Tensor("air", "FP32", (2,)),), (Tensor("nose_tokens", "FP32", (2,)),), 4, "onnxruntime"
)


def rows_of(wanted, got):
    return parity.compare(NOSE, "e", lambda case: {"nose_tokens": got}, [({}, {"nose_tokens": wanted})])


@pytest.mark.parametrize("name", MODELS)
def test_both_graphs_answer_as_pytorch_does(exported, name):
    model = exported(name)
    rows = engines.compare_files(model.module, model.contract, model.folder)
    assert [row.remark for row in rows] == [""] * 2 * len(model.contract.outputs)
    assert all(row.cosine > 0.999999 and row.max_abs < 2e-5 for row in rows)


def test_another_weight_is_noticed(exported, tmp_path):
    model = exported("tiny_sensor_encoder")
    graph = onnx.load(model.folder / "dense.onnx")
    weight = next(w for w in graph.graph.initializer if len(w.dims) == 2)
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.01), weight.name))
    onnx.save(graph, tmp_path / "dense.onnx")
    expected = parity.references(parity.pytorch(model.module, model.contract), parity.cases(model.contract))
    rows = parity.compare(
        model.contract, "dense.onnx", parity.onnx_runtime(tmp_path / "dense.onnx"), expected
    )
    assert [row.remark for row in rows] == ["outside the tolerance"]


def test_cases_cover_one_two_and_the_most_with_and_without_absent_rows(exported):
    cases = parity.cases(exported("tiny_image_encoder").contract)
    masks = [case["image_valid"] for case in cases]
    assert [len(mask) for mask in masks] == [1, 1, 2, 2, 8]
    assert [mask.all() for mask in masks] == [True, False, True, False, False]
    assert all(mask[0, 0] for mask in masks)
    assert not masks[-1][-1].any()


def test_recorded_welds_are_compared_too_when_they_have_every_input():
    recorded = {"air": np.ones((9, 2), np.float32), "other": np.zeros(3)}
    assert parity.cases(NOSE, recorded)[-1]["air"].shape == (4, 2)
    assert len(parity.cases(NOSE, {"other": np.zeros(3)})) == len(parity.cases(NOSE))


def test_the_same_seed_draws_the_same_tensors_in_the_contracts_dtypes(exported):
    for name in MODELS:
        contract = exported(name).contract
        one, two = draw(contract, 3, seed=5), draw(contract, 3, seed=5)
        for tensor in contract.inputs:
            np.testing.assert_array_equal(one[tensor.name], two[tensor.name])
            assert (one[tensor.name].shape, one[tensor.name].dtype) == ((3, *tensor.dims), tensor.numpy)


def test_a_drawn_waveform_is_silent_after_its_last_sample(exported):
    drawn = draw(exported("tiny_audio_encoder").contract, 4, seed=1)
    for waveform, samples in zip(drawn["audio_waveform"], drawn["audio_samples"][:, 0], strict=True):
        assert not waveform[samples:].any()
        assert np.abs(waveform[:samples]).max() <= 1
    assert len(set(drawn["audio_samples"][:, 0])) > 1


@pytest.mark.parametrize(
    ("wanted", "got", "remark"),
    [
        ([1.0, 2.0], [1.0, 2.00001], ""),
        ([1.0, 2.0], [1.0, 2.01], "outside the tolerance"),
        ([1.0, 2.0], [1.0, np.nan], "the engine's answer is not finite"),
        ([1.0, np.nan], [1.0, np.nan], "PyTorch's answer is not finite"),
        ([0.0, 0.0], [0.0, 0.0], "all but zero, so nothing was compared"),
        ([1.0, 2.0], [1.0], r"shape (1, 1), expected (1, 2)"),
    ],
)
def test_a_row_says_what_is_wrong(wanted, got, remark):
    (row,) = rows_of(np.array([wanted]), np.array([got]))
    assert remark in row.remark
    assert row.ok == (remark == "")
    json.dumps(row.as_dict(), allow_nan=False)


def constant_rows(wanted, got):
    run = lambda case: {"nose_tokens": np.array(got)}  # noqa: E731
    return parity.compare(NOSE, "e", run, [({}, {"nose_tokens": np.array(wanted)})], constant={"nose_tokens"})


@pytest.mark.parametrize(
    ("wanted", "got", "remark"),
    [
        ([[0.0, 0.0]], [[0.0, 0.0]], ""),
        ([[2.0, 1.0], [0.0, 0.0]], [[2.0, 1.0], [0.0, 0.0]], ""),
        ([[2.0, 1.0]], [[2.0, 1.000001]], "outside the tolerance"),
        ([[2.0, 1.0], [3.0, 1.0]], [[2.0, 1.0], [3.0, 1.0]], "varies, but the module calls it constant"),
    ],
)
def test_an_output_that_the_module_calls_constant_may_be_zero_but_must_be_equal_and_constant(
    wanted, got, remark
):
    (row,) = constant_rows(wanted, got)
    assert remark in row.remark
    assert row.ok == (remark == "")


def test_a_score_in_label_units_has_its_own_tolerance_and_an_index_none():
    assert tolerances.tolerance_of("quality_score", "fp32").atol == 5e-4
    assert tolerances.tolerance_of("anomaly_score", "fp32").atol == 1e-5
    assert tolerances.tolerance_of("fusion_index", "fp32") == tolerances.EXACT


def test_figures_are_the_worst_of_all_cases():
    answers = iter([np.array([[1.0, 2.0]]), np.array([[4.0, 2.5]])])
    expected = [({}, {"nose_tokens": np.array([[1.0, 2.0]])}), ({}, {"nose_tokens": np.array([[4.0, 2.0]])})]
    (row,) = parity.compare(NOSE, "e", lambda case: {"nose_tokens": next(answers)}, expected)
    assert (row.max_abs, row.max_rel, row.reference_abs_max) == (0.5, 0.125, 4.0)


def test_int8_is_held_to_all_elements_together_and_an_index_to_each():
    wanted = np.full((1, 100), 1.0)
    got = wanted.copy()
    got[0, 0] = 1.5
    assert within_int8(wanted, got).ok, "half of one element is 5 % of all"
    row = within_int8(wanted, wanted * 1.3)
    assert not row.ok
    assert row.remark.startswith("0.300 apart of 0.")
    assert row.as_dict()["atol"] is None, "JSON has no infinity"
    assert tolerances.tolerance_of("fusion_index", "int8") == tolerances.EXACT


def within_int8(wanted, got):
    case = [({}, {"nose_tokens": wanted})]
    (row,) = parity.compare(NOSE, "e", lambda inputs: {"nose_tokens": got}, case, precision="int8")
    return row


def test_every_precision_has_a_row_for_every_kind_of_output():
    kinds = set(tolerances.TOLERANCES["fp32"])
    assert all(set(row) == kinds for row in tolerances.TOLERANCES.values())
    with pytest.raises(LookupError, match="precision: expected one of fp32, bf16, fp16, int8, got fp8"):
        tolerances.tolerance_of("video_tokens", "fp8")
    with pytest.raises(
        LookupError, match=r"smell: expected a name that is or ends in one of tokens, .*; add a row"
    ):
        tolerances.tolerance_of("smell", "fp32")


def test_the_table_has_one_line_per_row_and_says_which_failed():
    text = parity.table(
        [*rows_of(np.ones((1, 2)), np.ones((1, 2))), *rows_of(np.ones((1, 2)), np.zeros((1, 2)))]
    )
    head, good, bad = text.splitlines()
    assert head.split()[:3] == ["model", "engine", "output"]
    assert good.endswith("ok")
    assert bad.endswith("FAILED: outside the tolerance")
