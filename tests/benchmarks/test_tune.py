"""Tuning: the descent by closed forms, what a setting does to configurations, and a run of the verb."""

import json

import pytest

from benchmarks import tune
from benchmarks.__main__ import main
from benchmarks.goodput import spread
from benchmarks.record import ROOT
from benchmarks.tune import KNOBS, descend, written
from serving.required import configuration, models_of

REPOSITORY = ROOT / "model_repository"


def test_a_separable_goal_is_found_knob_by_knob():
    knobs = {"a": (1, 2, 3), "b": (10, 20)}
    best, tried = descend(lambda one, _: 100 + 20 * one.get("a", 0) + one.get("b", 0), knobs)
    assert best == {"a": 3, "b": 20}
    assert tried[0] == ({}, 100) and len(tried) == len({str(one) for one, _ in tried})


def test_what_gains_less_than_noise_is_left_alone():
    best, tried = descend(lambda one, _: 100.0 + one.get("a", 0), {"a": (1, 2)})
    assert best == {} and len(tried) == 3


def test_a_knob_is_turned_again_when_another_changed():
    def score(one, _):
        return {(0, 0): 1, (1, 0): 1.5, (2, 0): 1.2, (1, 1): 2, (2, 1): 3}.get(
            (one.get("a", 0), one.get("b", 0)), 0
        )

    best, _ = descend(score, {"a": (1, 2), "b": (1,)})
    assert best == {"a": 2, "b": 1}


def test_a_candidate_has_to_reach_more_than_the_best_so_far():
    asked = []

    def score(one, to_beat):
        asked.append(round(to_beat, 6))
        return 100.0 + 10 * one.get("a", 0)

    descend(score, {"a": (1, 2)})
    assert asked == [0.0, 105.0, 115.5]


class Played:
    """A search that accepts up to a rate."""

    def __init__(self, most):
        self.most, self.rates = most, []

    def accepts(self, rate):
        self.rates.append(rate)
        return rate <= self.most


@pytest.mark.parametrize(("most", "found", "points"), [(99, 0, 1), (100, 100, 3), (106, 105, 4)])
def test_a_setting_that_does_not_reach_what_it_has_to_beat_costs_one_point(monkeypatch, most, found, points):
    played = Played(most)
    monkeypatch.setattr(tune.goodput, "Search", lambda *_: played)
    monkeypatch.setattr(tune.goodput, "capacity", lambda _: None)
    assert tune.reached(None, None, 100.0) == found and len(played.rates) == points


def test_a_setting_changes_its_models_and_says_so(tmp_path):
    setting = {"engine_threads": 1, "decoder_instances": 2, "preferred_batch": 4, "engine_delay_us": 500}
    target = written(REPOSITORY, tmp_path / "tuned", "weld_inspection", setting, "because\nof this")
    assert models_of(target, ["weld_inspection"]) == models_of(REPOSITORY, ["weld_inspection"])
    engine = configuration(target, "weld_small_video_encoder")
    name = tune.THREADS[engine.backend]
    assert engine.parameters[name].string_value == "1" and engine.instance_group[0].count == 1
    assert list(engine.dynamic_batching.preferred_batch_size) == [4]
    assert engine.dynamic_batching.max_queue_delay_microseconds == 500
    assert configuration(target, "weld_small_preprocess").instance_group[0].count == 2
    text = (target / "weld_small_preprocess" / "configs" / "cpu.pbtxt").read_text()
    assert text.startswith(
        "# Tuned by `python -m benchmarks tune weld_inspection`: decoder_instances 2.\n# because\n# of this\n"
    )
    gate = "weld_gate/configs/cpu.pbtxt"
    assert (target / gate).read_text() == (REPOSITORY / gate).read_text()


@pytest.mark.parametrize("knob", KNOBS)
def test_every_knob_has_some_model_to_turn(knob):
    configs = [configuration(REPOSITORY, name) for name in models_of(REPOSITORY, ["weld_inspection"])]
    assert any([KNOBS[knob].apply(config, KNOBS[knob].values[0]) for config in configs])


def test_the_table_says_before_and_after():
    result = {"tried": [1, 2], "slo_ms": 500.0, "best": {"engine_threads": 1}}
    result |= {"before_hz": spread([10.0]), "tuned_hz": spread([12.0]), "ratio": spread([1.2])}
    assert tune.table(result).splitlines() == [
        "2 settings tried at 500 ms; best: engine_threads 1",
        "goodput 10/s [10-10] before, 12/s [12-12] tuned; ratio 1.2 [1.2-1.2]",
    ]


@pytest.mark.server
@pytest.mark.slow
def test_the_verb_tries_a_setting_on_servers_of_its_own(exported, bench, capsys):
    assert main(["tune", "--quick", "--repository", str(exported), "--out", "tune.json"]) == 0
    found = json.loads((bench / "tune.json").read_text())["result"]
    assert [one["setting"] for one in found["tried"]] == [{}, {"engine_threads": 1}]
    assert (bench / "tune" / "tuned" / "weld_inspection" / "configs" / "cpu.pbtxt").is_file()
