"""The search on graphs whose weak places are known: what it picks, and which parts it keeps in fp32."""

import json

import numpy as np
import pytest

from export.budgets import PrecisionBudget
from export.precision.candidates import CANDIDATES, Bench, Candidate, keeping
from export.precision.chain import Chain
from export.precision.search import Search
from export.precision.tasks import Task

from .graphs import CONTRACT, Network, inputs

BUDGET = PrecisionBudget({"accuracy": 0.01}, apart=0.05)
TENSORRT = CANDIDATES["rtx"]


def search(graph, folder, candidates=TENSORRT, budget=BUDGET):
    """The truth is what fp32 says: accuracy is the share of items whose largest column stays the same."""
    task_inputs, calibration = inputs(64, seed=1), inputs(32, seed=2)
    bench = Bench(CONTRACT, graph, calibration, folder)
    wanted = bench.run(Candidate("fp32", "onnxruntime"))(task_inputs)["y"].mean(axis=1).argmax(axis=1)

    def figures(answers):
        return {"accuracy": float((answers["y"].mean(axis=1).argmax(axis=1) == wanted).mean())}

    task = Task(calibration, task_inputs, figures)
    return Search(Chain([CONTRACT]), {"made": bench}, task, budget, candidates).found()


def tried(found, precision):
    return [trial for trial in found.trials if trial.candidate.precision == precision]


def test_a_graph_that_bears_int8_gets_it(tmp_path):
    found = search(Network().plain().plain().plain().graph(), tmp_path)
    assert found.choices["made"] == Candidate("int8", "tensorrt")
    assert found.together.ok
    assert found.trials[0].apart > 0


def test_large_activations_are_caught_and_only_their_layer_stays_in_fp32(tmp_path):
    graph = Network().plain().large(1e6).plain().plain().graph()
    found = search(graph, tmp_path, [Candidate("fp16", "tensorrt"), Candidate("fp32", "tensorrt")])
    first = tried(found, "fp16")[0]
    assert not first.ok and "apart" in first.faults[0], "65504 is the end of fp16"
    assert found.choices["made"] == Candidate("fp16", "tensorrt", keep=("layers.1",))
    assert found.together.ok


def test_large_activations_are_no_matter_to_bf16(tmp_path):
    graph = Network().plain().large(1e6).graph()
    found = search(graph, tmp_path, [Candidate("bf16", "tensorrt"), Candidate("fp32", "tensorrt")])
    assert found.choices["made"] == Candidate("bf16", "tensorrt")


def test_sharp_attention_gets_its_logits_in_fp32_before_any_layer(tmp_path):
    graph = Network(3).attention(sharpness=300).plain().graph()
    tight = PrecisionBudget({"accuracy": 0.01}, apart=0.002)
    found = search(graph, tmp_path, [Candidate("bf16", "tensorrt"), Candidate("fp32", "tensorrt")], tight)
    first, second = tried(found, "bf16")[:2]
    assert not first.ok
    assert any(name.startswith("matmul") for name in second.candidate.keep)
    assert not any(name.startswith("layers") for name in second.candidate.keep)
    assert second.apart < first.apart / 2


def test_even_attention_is_blind_to_precision(tmp_path):
    even, sharp = (
        search(
            Network(3).plain().attention(sharpness).plain().graph(), tmp_path, [Candidate("bf16", "tensorrt")]
        )
        for sharpness in (0.01, 300)
    )
    assert even.trials[0].apart < sharp.trials[0].apart / 3


def test_what_nothing_low_can_say_stays_in_fp32(tmp_path):
    found = search(Network().cancelled(30_000).graph(), tmp_path)
    assert found.choices["made"].precision == "fp32"
    assert not any(trial.ok for trial in tried(found, "fp16") + tried(found, "bf16"))


def test_the_record_says_what_was_tried_and_what_it_cost(tmp_path):
    found = search(Network().plain().large(1e6).plain().graph(), tmp_path)
    record = json.loads(json.dumps(found.record("made"), allow_nan=False))
    assert record["chosen"]["precision"] == found.choices["made"].precision
    assert record["judged_items"] == 64
    assert {"candidate", "apart", "drops", "speed", "faults", "ok"} <= set(record["tried"][0])


def test_a_kept_layer_makes_the_answers_better(tmp_path):
    bench = Bench(CONTRACT, Network().plain().large(1e6).plain().graph(), inputs(32, 2), tmp_path)
    low = Candidate("fp16", "tensorrt")
    kept = bench.run(keeping(low, ["layers.1"]))(inputs(4, 5))["y"]
    assert np.isfinite(kept).all()
    assert not np.isfinite(bench.run(low)(inputs(4, 5))["y"]).all()


def test_speed_is_measured_where_this_machine_can_say(tmp_path):
    found = search(Network().plain().graph(), tmp_path, CANDIDATES["cpu"][:1] + CANDIDATES["cpu"][-1:])
    assert all(trial.speed > 0 for trial in found.trials)
    assert found.together.speed > 0


@pytest.mark.parametrize("target", CANDIDATES)
def test_every_target_ends_in_fp32(target):
    assert CANDIDATES[target][-1].precision == "fp32"


class Forgetful(Bench):
    """Leaves out the last row in int8, as OpenVINO leaves out all of some graphs."""

    def run(self, candidate):
        plain = super().run(candidate)
        if candidate.precision != "int8":
            return plain
        return lambda arrays: {name: array[:-1] for name, array in plain(arrays).items()}


def test_an_engine_that_answers_other_rows_is_refused_and_no_reason_to_stop(tmp_path):
    bench = Forgetful(CONTRACT, Network().plain().plain().graph(), inputs(32, seed=2), tmp_path)
    task = Task(inputs(32, seed=2), inputs(64, seed=1), lambda answers: {"accuracy": 1.0})
    found = Search(Chain([CONTRACT]), {"made": bench}, task, BUDGET, CANDIDATES["cpu"]).found()
    first = tried(found, "int8")[0]
    assert "rows of y, got" in first.faults[0]
    assert found.choices["made"].precision != "int8"
    json.dumps(found.record("made"), allow_nan=False)
