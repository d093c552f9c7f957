"""Answers that are words: accuracy, words that nobody knows, and texts compared with PyTorch's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.budgets import Budget, Words
from serving.releases import findings, probes
from serving.releases.compared import Compared
from serving.releases.golden import Golden, Item
from serving.releases.replay import Answers, _plain

NAMES = ("circle", "Red", "yes", "no")
RIGHT = ("circle", "red", "yes", "no", "circle", "red", "yes", "no", "circle", "red")
BUDGET = Budget(
    tolerances={"chance": 0.1},
    lossless=frozenset(),
    lossless_tolerance=0.0,
    exact=("modality_status",),
    distributions=(),
    judged_as=Words("answer"),
    drops={"accuracy": 0.1},
    median_ratio=1.2,
    p95_ratio=1.5,
    words={"answer": 0.9},
)


def answers(words, chance=0.8):
    return Answers(
        [
            {
                "answer": np.asarray([word]),
                "chance": np.asarray([chance], np.float32),
                "modality_status": np.zeros(2, np.int32),
            }
            for word in words
        ]
    )


def compare(new, live=RIGHT, expected=RIGHT, budget=BUDGET):
    items = tuple(
        Item(f"item-{place}", place % 4 if place < 8 else place - 8, ("image", "question"), "", True, "")
        for place in range(len(RIGHT))
    )
    known = None
    if expected:
        outputs = answers(expected).outputs
        known = {name: np.stack([one[name] for one in outputs]) for name in outputs[0]}
    return Compared(
        Golden(Path("golden"), NAMES, None, items), budget, answers(live), answers(new), known, known
    )


def judged(compared):
    return {one.name: one for one in findings.judge(compared)}


def rejected(found):
    return {name for name, one in found.items() if not one.passed}


def test_a_set_that_says_the_same_passes():
    found = judged(compare(RIGHT))
    assert rejected(found) == set()
    assert found["accuracy drop"].text == "100.0% on 10 complete items, the live set has 100.0%"
    assert found["words of answer"].text == "answer as PyTorch says with the same weights for 10 of 10"


def test_capitals_and_blanks_are_no_other_answer():
    assert rejected(judged(compare((" Circle ", *RIGHT[1:])))) == set()


def test_one_of_ten_may_be_another_word_and_two_may_not():
    assert rejected(judged(compare(("red", *RIGHT[1:])))) == set()
    found = judged(compare(("red", "circle", *RIGHT[2:])))
    assert rejected(found) == {"accuracy drop", "words of answer"}
    assert found["words of answer"].text == (
        "words: expected answer as PyTorch says with the same weights for 90% of 10 items, got 80%, as 'red' "
        "instead of 'circle' for item-0; the files are not what these weights make: export them again"
    )


def test_words_that_no_question_has_are_named():
    found = judged(compare(("[unk]", "", "purple", *RIGHT[3:])))
    assert "none of the 4 known answers is [unk], nothing, purple" in found["strange words"].text


def test_without_pytorchs_answers_the_metric_alone_decides():
    found = judged(compare(("red", "circle", *RIGHT[2:]), expected=None))
    assert "words of answer" not in found
    assert rejected(found) == {"accuracy drop"}


def test_the_page_shows_what_changed_and_lets_no_answer_write_html():
    from serving.releases.judges import judge_of

    compared = compare(("<b>", *RIGHT[1:]))
    judge = judge_of(BUDGET)
    changes = judge.changes(judge.lines(compared))
    assert changes.title == "Items whose answer changed: 1 of 10"
    (row,) = changes.rows
    assert row[2:] == [
        "circle",
        '<span class="good">circle</span>',
        '<span class="bad">&lt;b&gt;</span>',
    ]
    assert judge.figure(compared) == ""


def test_texts_that_come_as_bytes_are_texts():
    came = _plain(np.asarray([["ein Würfel".encode(), b""]], np.object_))
    assert came.tolist() == [["ein Würfel", ""]]
    assert came.dtype.kind == "U"


def test_a_probe_of_words_looks_at_its_numbers_and_statuses():
    answer = answers(("red",)).outputs[0]
    assert probes.fault(answer, answer, BUDGET, ("image", "question")) == ""
    off = answer | {"chance": np.asarray([0.6], np.float32)}
    assert "chance: expected PyTorch's within 0.1, got 0.2" in probes.fault(off, answer, BUDGET, ())


@pytest.mark.parametrize(("status", "readable"), [((0, 0), True), ((0, 1), False), ((2, 0), True)])
def test_shares_are_held_to_their_sum_only_where_enough_could_be_read(status, readable):
    budget = replace(BUDGET, distributions=("shares",), needed=2)
    answer = {"shares": np.zeros(3, np.float32), "modality_status": np.asarray(status, np.int32)}
    told = probes.fault(answer, {}, budget, ("image", "question"))
    assert bool(told) == readable
