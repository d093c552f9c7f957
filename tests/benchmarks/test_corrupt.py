"""Corrupt requests among others: how they are made, who counts as harmed, and a run of the verb."""

import numpy as np
import pytest

from benchmarks import corrupt
from benchmarks.corrupt import KINDS, corrupted, goals, harm, mixed
from benchmarks.verified import Expected, judged
from tests.benchmarks.test_goodput import STRICT
from tests.benchmarks.test_open_loop import record

PAYLOADS = [{"video": b"v" * 400, "image": [b"i" * 400, b"j" * 400], "text": "words"}] * 6


def test_every_kind_meets_every_payload_and_words_stay():
    found = corrupted(PAYLOADS, 7)
    assert all(one["text"] == "words" for one in found)
    spoiled = [name for one in found for name in ("video", "image") if one[name] != PAYLOADS[0][name]]
    assert spoiled == ["video", "image"] * 3
    assert found[0]["video"] == b"v" * 200  # cut off
    assert found[3]["image"][0][:64] == b"i" * 64 and len(found[3]["image"][0]) == 400  # garbled
    assert found[3]["image"][1] == b"j" * 400
    assert found == corrupted(PAYLOADS, 7)


def test_one_in_a_hundred_is_corrupt_and_arrivals_stay_what_they_were():
    from benchmarks.arrivals import poisson

    schedule = mixed(100.0, 300.0, 7, intact=12, corrupt=36)
    clean = poisson(100.0, 300.0, 12, 7)
    assert np.array_equal(schedule.due_s, clean.due_s)
    is_corrupt = schedule.item >= 12
    assert is_corrupt.mean() == pytest.approx(0.01, abs=0.002)
    assert np.array_equal(schedule.item[~is_corrupt], clean.item[~is_corrupt])
    assert schedule.item.max() < 48


def test_harm_is_counted_among_the_innocent_only():
    expected = Expected(np.array([[1.0], [2.0], [np.nan]], np.float32), np.array(["", "", "INVALID"]))
    answers = [[1.0], [2.0], [np.nan], [2.0], [np.nan]]
    found = harm(judged(record(answers, item=[0, 1, 0, 0, 2], code="INVALID"), expected, STRICT), intact=2)
    assert found == {
        "innocent": 4,
        "innocent_failed": 1,
        "innocent_wrong": 1,
        "corrupt": 1,
        "corrupt_unlike_alone": 0,
    }


@pytest.mark.parametrize(("wrong", "kept", "reached"), [(0, 0.98, [True, True]), (1, 0.96, [False, False])])
def test_nobody_may_be_harmed_and_little_may_be_lost(wrong, kept, reached):
    result = {"harm": {"innocent_failed": 0, "innocent_wrong": wrong}, "ratio": {"median": kept}}
    found = goals(result)
    assert [one["reached"] for one in found.values()] == reached
    sentences = corrupt.faults(result | {"goals": found})
    assert len(sentences) == wrong and all("expected none harmed, got 1" in one for one in sentences)


@pytest.mark.server
@pytest.mark.slow
def test_the_verb_harms_nobody_on_a_real_server(measured, capsys):
    found = measured("corrupt")
    assert "corrupt among" in capsys.readouterr().err
    assert found["kinds"] == [kind.__name__ for kind in KINDS]
    assert found["harm"]["innocent_failed"] == found["harm"]["innocent_wrong"] == 0
    assert found["harm"]["innocent"] > 0
    assert set(found["goodput_hz"]) == {"clean", "corrupt"}
