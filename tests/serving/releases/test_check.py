"""What is found for and against a set, on answers made by hand; a real server does it in end_to_end."""

from dataclasses import replace

import numpy as np
import pytest

from serving.releases import check, class_judge, compared, findings, golden, origin
from serving.releases.record import Member, Pipeline, Release
from serving.releases.replay import Answers, Silent, measure_again, ratios, replay
from serving.releases.store import Store
from tests.serving.releases.golden_sets import BUDGET, WEIGHTS, answer, write_set

MS = [[50.0] * 12] * 2


@pytest.fixture
def items(tmp_path):
    return golden.read(write_set(tmp_path), "nose")


@pytest.fixture
def judge(items):
    """Findings by name, for the new set's answers; the live set is always right."""

    def judge(new, ms=MS, known=True):
        right = Answers([answer(index) for index in range(12)], ms=MS)
        expected = items.expected(WEIGHTS) if known else None
        sides = compared.Compared(items, BUDGET, right, Answers(new, ms=ms), expected, expected)
        return {one.name: one for one in findings.judge(sides)}

    return judge


def rejected(found):
    return {name for name, one in found.items() if not one.passed}


def right():
    return [answer(index) for index in range(12)]


def test_equal_sets_pass_and_use_nothing_of_their_budgets(judge):
    found = judge(right())
    assert rejected(found) == set()
    assert [name for name, one in found.items() if one.used > 0.01] == []
    assert found["accuracy drop"].text == "100.0% on 9 complete items, the live set has 100.0%"


def test_a_picture_may_shift_an_answer_a_little_and_sound_may_not(judge):
    whole, part = right(), right()
    whole[2] = answer(2, off=0.02)
    assert rejected(judge(whole)) == set()
    part[10] = answer(10, off=0.02)
    found = judge(part)
    assert rejected(found) == {"numbers"}
    assert "expected score within 0.0001 of PyTorch with the same weights, got 0.02 for item-10" in (
        found["numbers"].text
    )


def test_weights_without_known_answers_are_judged_by_the_metrics_and_the_page_says_so(judge):
    found = judge([answer(index, off=0.05) for index in range(12)], known=False)
    assert rejected(found) == set()
    assert not found["numbers"].compared
    assert "the metrics alone decide" in found["numbers"].text


def test_what_is_no_number_is_named_and_costs_the_accuracy(judge):
    broken = right()
    broken[0]["probabilities"][1] = np.nan
    found = judge(broken)
    assert {"not finite", "numbers", "accuracy drop"} == rejected(found)
    assert "NaN or infinity in probabilities of 1 of 12 items" in found["not finite"].text
    assert found["numbers"].used > 1


def test_logits_instead_of_probabilities_are_found(judge):
    logits = [one | {"probabilities": one["probabilities"] * 9} for one in right()]
    assert "expected probabilities that sum to 1, got 9; is the softmax missing" in judge(logits)["sums"].text


def test_another_status_is_found_and_told_with_what_was_sent(judge):
    other = right()
    other[11]["status"] = np.asarray([0, 3], np.int32)
    text = judge(other)["statuses"].text
    assert "expected status [0, 0] for item-11 (sound), got [0, 3]" in text


def test_a_worse_set_is_rejected_with_both_figures(judge):
    worse = right()
    worse[1], worse[2] = answer(1, named=0), answer(2, named=0)
    found = judge(worse, known=False)
    assert rejected(found) == {"accuracy drop", "AUROC drop"}
    assert "expected 90.0% or more on 9 complete items (live: 100.0%), got 77.8%" in (
        found["accuracy drop"].text
    )


def test_a_head_with_another_order_of_classes_is_recognised(judge):
    renamed = [answer(index, named=(0, 2, 1)[index % 3]) for index in range(12)]
    found = judge(renamed, known=False)
    assert rejected(found) == {"accuracy drop", "class order"}
    assert "fit the labels (100.0%) after renaming Crack -> Pore, Pore -> Crack" in found["class order"].text


def test_a_set_that_is_merely_bad_is_not_blamed_on_the_order_of_classes(judge):
    assert "class order" not in judge([answer(index, named=0) for index in range(12)], known=False)


def test_a_slower_set_is_rejected_and_a_faster_one_is_not(judge):
    slower = judge(right(), ms=[[65.0] * 12] * 2)
    assert rejected(slower) == {"latency, median"}
    assert "expected at most 1.2 times that of the live set on the same requests, got 1.30" in (
        slower["latency, median"].text
    )
    assert rejected(judge(right(), ms=[[20.0] * 12] * 2)) == set()
    assert rejected(judge(right(), ms=[[50.0] * 10 + [90.0] * 2] * 2)) == {"latency, p95"}


def test_an_error_of_the_new_set_is_a_finding_and_its_item_is_left_out(items):
    new = Answers([None, *right()[1:]], errors={0: "out of memory"})
    found = findings.judge(compared.Compared(items, BUDGET, Answers(right()), new))
    assert [one.name for one in found if not one.passed] == ["errors"]
    assert "the new set failed on 1, as item-0: out of memory" in found[0].text


def test_auroc_counts_pairs_and_a_tie_is_half():
    positive = np.asarray([True, True, False, False])
    assert class_judge.auroc(positive, np.asarray([0.9, 0.5, 0.5, 0.1])) == pytest.approx(3.5 / 4)
    assert class_judge.auroc(positive, np.asarray([np.nan, np.nan, 0.5, 0.1])) == 0


def test_both_get_every_item_and_the_first_of_a_pair_changes(items):
    asked = []

    def ask(name, tensors):
        asked.append((name, int(tensors["sound"][0])))
        return answer(asked[-1][1]), 10.0 if name == "live" else 20.0

    live, new = replay(ask, ("live", "new"), items.requests(), rounds=2)
    assert len(asked) == 3 * 12 * 2
    assert asked[:4] == [("new", 0), ("live", 0), ("live", 1), ("new", 1)]
    assert asked[24:26] == [("live", 0), ("new", 0)]
    assert (np.shape(live.ms), np.shape(new.ms), len(new.outputs)) == ((2, 12), (2, 12), 12)
    assert ratios(live.ms, new.ms) == (2.0, 2.0)


def test_measuring_again_adds_rounds_and_leaves_the_answers(items):
    asked = []

    def ask(name, tensors):
        asked.append(name)
        return answer(0), 50.0 if name == "live" else 90.0

    sets = replay(ask, ("live", "new"), items.requests(), rounds=2)
    before = list(sets[1].outputs)
    measure_again(ask, ("live", "new"), items.requests(), sets)
    assert [len(one.ms) for one in sets] == [5, 5]
    assert sets[1].outputs == before
    assert ratios(sets[0].ms, sets[1].ms) == (pytest.approx(1.8), pytest.approx(1.8))
    assert len(asked) == 2 * 12 * 6


def test_after_an_error_no_further_round_is_sent_and_after_a_silence_nothing(items):
    def fails(name, tensors):
        if name == "new":
            raise RuntimeError("broken")
        return answer(0), 10.0

    live, new = replay(fails, ("live", "new"), items.requests())
    assert (len(new.errors), new.outputs, live.ms) == (12, [None] * 12, [])

    def is_silent(name, tensors):
        raise Silent("nothing came")

    with pytest.raises(Silent):
        replay(is_silent, ("live", "new"), items.requests())


def release(number, state, weights=WEIGHTS):
    members = {"gate": Member(1), "nose": Member(number, {"model.onnx": "0" * 64}, weights)}
    return Release(number, state, members, ("nose",), "candidate", "me", "", "2026-01-01T00:00:00+00:00")


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (1, "release 1: expected one to compare with the live one, it is the live one"),
        (2, "release 2: expected one that waits to go live, it is retired"),
        (3, "release 3: expected one prepared beside release 1, it is older and would take back gate from 1"),
    ],
)
def test_a_release_that_cannot_be_checked_is_refused_before_a_server_is_asked(tmp_path, number, sentence):
    store = Store(tmp_path)
    releases = {1: release(1, "released"), 2: release(2, "retired"), 3: release(3, "prepared")}
    older = releases[3].members | {"gate": Member(0)}
    record = Pipeline("cpu", 1, None, releases | {3: replace(releases[3], members=older)}, {})
    store.write("nose", record)
    with pytest.raises(RuntimeError, match=sentence):
        check.check(store, None, "nose", number, golden=tmp_path, by="me")


def test_engines_of_several_weights_have_no_weights_of_their_own():
    one = release(2, "prepared")
    assert origin.weights_of(one) == WEIGHTS
    other = one.members | {"ear": Member(2, {}, "cd" * 32)}
    assert origin.weights_of(replace(one, members=other)) == ""
