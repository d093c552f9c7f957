"""Tuning: the descent by closed forms, what a setting does to configurations, and a run of the verb."""

import json
from contextlib import contextmanager

import pytest

from benchmarks import tune
from benchmarks.__main__ import main
from benchmarks.goodput import spread
from benchmarks.match import Match, Plan
from benchmarks.record import ROOT
from benchmarks.tune import KNOBS, descend, differ, written
from benchmarks.workloads import workload
from serving.required import configuration, models_of

REPOSITORY = ROOT / "model_repository"


class Scored:
    """Compares settings by a score, and keeps what was asked."""

    def __init__(self, score):
        self.score, self.asked = score, []

    def __call__(self, best, candidate):
        self.asked.append((best, candidate))
        return self.score(candidate) / self.score(best)


def test_a_separable_goal_is_found_knob_by_knob():
    scored = Scored(lambda one: 100 + 20 * one.get("a", 0) + 10 * one.get("b", 0))
    assert descend(scored, {"a": (1, 2, 3), "b": (1, 2)}) == {"a": 3, "b": 2}
    assert scored.asked[0] == ({}, {"a": 1})
    assert len(scored.asked) == len({str(candidate) for _, candidate in scored.asked})


def test_what_gains_less_than_noise_is_left_alone():
    scored = Scored(lambda one: 100.0 + one.get("a", 0))
    assert descend(scored, {"a": (1, 2)}) == {} and len(scored.asked) == 2


def test_a_knob_is_turned_again_when_another_changed():
    scores = {(0, 0): 1, (1, 0): 1.5, (2, 0): 1.2, (1, 1): 2, (2, 1): 3}
    scored = Scored(lambda one: scores[one.get("a", 0), one.get("b", 0)])
    assert descend(scored, {"a": (1, 2), "b": (1,)}) == {"a": 2, "b": 1}


def test_settings_that_configure_the_same_are_not_compared():
    as_it_is = configuration(REPOSITORY, "weld_small_preprocess").instance_group[0].count
    for pipeline, setting in (("weld_inspection", {}), ("weld_inspection", {"decoder_instances": as_it_is})):
        assert not differ(REPOSITORY, pipeline, {}, setting)
    assert differ(REPOSITORY, "weld_inspection", {}, {"decoder_instances": as_it_is + 1})
    assert differ(REPOSITORY, "weld_inspection", {"engine_threads": 1}, {"engine_threads": 2})


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


def test_a_setting_that_cannot_be_served_is_told_and_the_others_go_on(tmp_path, monkeypatch):
    @contextmanager
    def served(trial, setting, name):
        if setting.get("engine_threads") == 2:
            raise RuntimeError("server: no more threads")
        yield setting

    def play(first, second, plan, least=None):
        return Match([(1.0, 1.2 if second.get("decoder_instances") == 1 else 1.0)])

    monkeypatch.setattr(tune.Trial, "served", served)
    monkeypatch.setattr(tune.match, "play", play)
    knobs = {"engine_threads": KNOBS["engine_threads"], "decoder_instances": KNOBS["decoder_instances"]}
    found = tune.measure(REPOSITORY, workload("weld_inspection"), [], Plan(), tmp_path, knobs)
    assert {str(one["setting"]): one["failed"] for one in found["tried"] if "failed" in one} == {
        "{'engine_threads': 2}": "server: no more threads",
        "{'decoder_instances': 1, 'engine_threads': 2}": "server: no more threads",
    }
    assert found["best"] == {"decoder_instances": 1} and found["ratio"]["median"] == 1.2


def test_the_table_says_before_and_after():
    result = {"tried": [1, 2], "slo_ms": 500.0, "best": {"engine_threads": 1}, "pairs": [(10.0, 12.0)]}
    result |= {"before_hz": spread([10.0]), "tuned_hz": spread([12.0]), "ratio": spread([1.2])}
    assert tune.table(result).splitlines() == [
        "2 settings tried at 500 ms; best: engine_threads 1",
        "good answers 10/s [10-10] before, 12/s [12-12] tuned; ratio 1.2 [1.2-1.2] over 1 pairs in turn",
    ]
    assert tune.table({"tried": [1, 2], "slo_ms": 500.0, "best": {}, "pairs": []}) == (
        "2 settings tried at 500 ms; none gives 5% more than what is there"
    )


@pytest.mark.server
@pytest.mark.slow
def test_the_verb_compares_settings_on_servers_of_their_own(exported, bench, capsys):
    assert main(["tune", "--quick", "--repository", str(exported), "--out", "tune.json"]) == 0
    found = json.loads((bench / "tune.json").read_text())["result"]
    assert [(one["setting"], one["against"]) for one in found["tried"]] == [({"engine_threads": 2}, {})]
    assert set(found["tried"][0]["ratio"]) == {"median", "min", "max"}
    assert (bench / "tune" / "tuned" / "weld_inspection" / "configs" / "cpu.pbtxt").is_file()
