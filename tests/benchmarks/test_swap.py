"""The proof under traffic: what counts as kept and as broken, told on recordings made by hand."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from benchmarks import flips, one_by_one, swap, swap_picture, two_sets
from benchmarks.__main__ import main
from benchmarks.flips import Change, Plan
from benchmarks.one_by_one import Window
from benchmarks.recording import FAILED, UNKNOWN
from benchmarks.two_sets import MARGIN, NEW, OLD, TwoSets
from tests.benchmarks.test_open_loop import record

SETS = TwoSets(
    {"gate": 1, "video": 1, "audio": 1, "fusion": 1}, {"gate": 1, "video": 2, "audio": 2, "fusion": 3}
)
CHANGES = [
    Change(verb, begin_s, begin_s + 0.02, control_ms=5.0 + begin_s, whole_ms=20.0)
    for begin_s, verb in zip((4.0, 5.0, 6.0, 7.0), ("flip", "rollback") * 2, strict=True)
]
LABELS = np.array([OLD, OLD, OLD, OLD, NEW, OLD, NEW, OLD, OLD, OLD, OLD, OLD])


def recorded(worst_ms=20.0):
    """Twelve answers, one a second, of 20 ms; the one that meets the first flip takes `worst_ms`."""
    latency_s = np.full(12, 0.02)
    latency_s[4] = worst_ms / 1e3
    return record([[1.0]] * 12, latency_s=latency_s)


def result(worst_ms=20.0, labels=LABELS, changes=CHANGES, answers=None):
    rows = recorded(worst_ms) if answers is None else record(answers)
    return swap.figures(rows, labels, changes)


def test_every_choice_of_old_and_new_models_is_a_combination_with_a_name():
    found = SETS.combinations()
    assert SETS.changed == ("video", "audio", "fusion") and len(found) == 8
    assert found[OLD] == SETS.old and found[NEW] == SETS.new
    assert found["mixture: new video, fusion"] == {"gate": 1, "video": 2, "audio": 1, "fusion": 3}


def test_sets_are_told_apart_by_their_nearest_answers():
    found = {
        "old": np.array([[0.0], [0.0]]),
        "new": np.array([[0.1], [0.3]]),
        "mixture": np.array([[0.5], [0.6]]),
    }
    assert two_sets.margin(found) == pytest.approx(0.1)
    found["mixture"][1, 0] = 0.3 + MARGIN / 2
    with pytest.raises(
        ValueError, match=r"^two sets: expected every combination .* 'new' and 'mixture'; choose"
    ):
        two_sets.margin(found)


def test_an_answer_within_tolerance_of_one_set_is_outside_that_of_every_other():
    assert two_sets.tolerance(4e-4) == pytest.approx(1e-4) and two_sets.tolerance(0.5) == 1e-3


def test_noise_falls_on_three_networks_and_is_the_same_for_a_seed(tmp_path):
    names = ("encoders.video.a", "encoders.audio.a", "fusion.a", "encoders.image.a", "heads.a")
    save_file({name: np.ones((4, 4), np.float16) for name in names}, tmp_path / "plain.safetensors")
    one, again, other = (
        load_file(two_sets.perturb(tmp_path / "plain.safetensors", tmp_path / f"{i}.safetensors", seed))
        for i, seed in enumerate((1, 1, 2))
    )
    assert [name for name in names if (one[name] != 1).any()] == list(names[:3])
    assert all(one[name].dtype == np.float16 and np.array_equal(one[name], again[name]) for name in names)
    assert not np.array_equal(one["fusion.a"], other["fusion.a"])


def test_the_checkout_is_copied_without_later_versions(tmp_path):
    copy = two_sets.copy_repository(one_by_one.REPOSITORY, tmp_path / "copy")
    assert {path.name for path in copy.iterdir()} == set(
        two_sets.models_of(one_by_one.REPOSITORY, ["weld_inspection"])
    )
    assert {path.name for path in copy.glob("*/[0-9]*")} == {"1"}


def test_changes_come_in_blocks_with_plain_traffic_around_them():
    plan = Plan(flips=3, every_s=1.0, blocks=2, steady_s=10.0)
    assert [plan.due_s(index) for index in range(6)] == [10.0, 11.0, 12.0, 23.0, 24.0, 25.0]
    assert plan.duration_s == 36.0


def test_requests_under_way_near_a_change_count_as_met_by_it():
    changes = [Change("flip", 2.0, 2.1, 5.0, 100.0)]
    rows = replace(record([[1.0]] * 5), due_s=np.array([0.0, 1.5, 1.75, 2.35, 2.45]))
    assert swap.near(rows, changes, 0.3).tolist() == [False, False, True, True, False]
    waiting = replace(rows, latency_s=np.array([1.8, 0.1, 0.1, 0.1, np.nan]))
    assert swap.near(waiting, changes, 0.3).tolist() == [True, False, True, True, False]


def test_a_run_with_nothing_to_compare_says_so():
    with pytest.raises(
        ValueError, match=r"^swap: expected answers both far from and near to changes, got 6 and"
    ):
        result(answers=[[np.nan]] * 12, labels=np.full(12, FAILED))


def test_a_swap_that_keeps_its_promises_has_no_faults():
    found = result()
    assert swap.faults(found) == []
    assert found["sets"] == {OLD: 10, NEW: 2} and found["mixtures"] == 0
    assert found["steady"]["requests"] == 6 and found["changes"]["requests_met"] == 4
    assert found["changes"]["flip"] == {
        "count": 2,
        "control_ms": {"median": 10.0, "max": 11.0},
        "whole_ms": {"median": 20.0, "max": 20.0},
        "call_ms": {"median": 20.0, "max": 20.0},
    }


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            result(worst_ms=41.0),
            r"worst latency near a change: expected at most 2 x the steady p99, got 2\.05 x",
        ),
        (
            result(labels=np.where(LABELS == NEW, UNKNOWN, LABELS)),
            "answers: expected whole sets, got 2 others",
        ),
        (
            result(labels=np.where(LABELS == NEW, "mixture: new video", LABELS)),
            "answers: expected whole sets, got 2 others",
        ),
        (result(labels=np.full(12, OLD)), "answers: expected some of both sets"),
        (
            result(answers=[[1.0]] * 11 + [[np.nan]], labels=np.append(LABELS[:11], FAILED)),
            "errors: expected none, got 1: {'INTERNAL: broken': 1}",
        ),
        (
            result(changes=[replace(change, whole_ms=60.0) for change in CHANGES]),
            "flip: expected a median of at most 50 ms, got 60",
        ),
        (result() | {"void": True}, "generator: expected a lag p99 up to 1 ms"),
    ],
)
def test_every_broken_promise_is_a_sentence(found, sentence):
    assert re.search(sentence, "\n".join(swap.faults(found)))


def test_a_quick_run_judges_the_answers_and_not_the_machine():
    slow = result(worst_ms=500.0, changes=[replace(change, whole_ms=60.0) for change in CHANGES])
    assert len(swap.faults(slow)) == 3 and swap.faults(slow, answers_only=True) == []
    assert swap.faults(result(labels=np.full(12, UNKNOWN)), answers_only=True)


def test_the_table_says_what_came_of_it():
    lines = swap.table(result()).splitlines()
    assert lines[0] == "12 requests at 1.091 a second: 0 errors, 0 mixed answers (2 new, 10 old)"
    assert lines[1].startswith("2 flips: 10.0 ms for the call that changes it, 20.0 ms in all")


def test_mixed_answers_of_reloads_are_counted_where_models_were_loaded():
    labels = np.array([OLD, OLD, "mixture: new a", "mixture: new a, b", NEW, NEW])
    found = one_by_one.figures(record([[1.0]] * 6), labels, [Window(0.5, 4.5)])
    assert found["mixtures"] == 2 and found["answers_in_windows"] == 4
    assert found["mixed_share_in_windows"] == 0.5 and found["window_s"]["median"] == 4.0


def test_a_set_that_changes_too_little_is_refused(tmp_path):
    class Same:
        def __init__(self):
            self.store = self

        def prepare(self, source, why):
            return self.release(2)

        def read(self, pipeline):
            return self

        active = 1

        def release(self, number):
            self.versions = {"video": number, "audio": 1, "fusion": 1}
            return type("Release", (), {"versions": dict(self.versions), "number": number})()

    with pytest.raises(
        ValueError, match=r"expected a set in which at least 3 models differ .* got 1; leave --set"
    ):
        flips.arrange(Same(), tmp_path, [])


def test_the_picture_shows_changes_of_one_block_that_requests_crossed():
    begins_s = [1.0, 2.0, 3.0, 20.0, 21.0, 22.0, 23.0, 24.0, 25.0, 26.0]
    changes = [Change("flip", begin_s, begin_s + 0.1, 5.0, 100.0) for begin_s in begins_s]
    due_s = np.array([1.0, 1.0, 1.0, 2.0, 26.0])
    shown = swap_picture._most_crossed(changes, due_s, due_s + 0.05)
    assert [change.begin_s for change in shown] == begins_s[4:]


@pytest.mark.parametrize("naive", [False, True])
def test_the_picture_is_drawn_with_and_without_the_comparison(tmp_path, naive):
    rows, labels = recorded(), np.array([*LABELS[:10], "mixture: new a", FAILED])
    shown = swap.figures(rows, labels, CHANGES) | {"changed_models": ["a", "b", "c"]}
    windows = [Window(1.0, 3.0)]
    compared = {"one_by_one": one_by_one.figures(rows, labels, windows)}
    outcome = swap.Outcome(
        shown | compared, rows, labels, CHANGES, (rows, labels, windows) if naive else None
    )
    path = swap_picture.draw(outcome, tmp_path / "swap.png")
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 20_000


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--flips", "0"], "--flips: expected a number above 0, got 0"),
        (["--rate", "-1"], "--rate: expected a number above 0, got -1"),
        (["--url", "127.0.0.1:1"], "--url and --repository: expected both or neither, got one"),
    ],
)
def test_a_mistyped_swap_exits_with_two(words, sentence, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["swap", *words])
    assert caught.value.code == 2 and sentence in capsys.readouterr().err


@pytest.mark.server
@pytest.mark.slow
def test_the_command_flips_a_server_of_its_own_under_traffic(exported, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["swap", "--quick", "--flips", "2", "--rate", "6", "--out", str(tmp_path / "swap.json")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "swap.json")
    written = json.loads((tmp_path / "swap.json").read_text())
    found = written["result"]
    assert found["errors"] == found["mixtures"] == 0 and len(found["changed_models"]) == 3
    assert found["changes"]["flip"]["count"] == found["changes"]["rollback"]["count"] == 2
    assert found["combinations_told_apart"] == 8 and found["sets"][NEW] > 0
    assert (tmp_path / "swap.png").exists() and (tmp_path / "swap.npz").exists()
