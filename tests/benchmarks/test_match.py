"""A match of two servers by servers whose good answers are known."""

import numpy as np
import pytest

from benchmarks import match
from benchmarks.match import Match, Plan, play


class Verdict:
    def __init__(self, good_hz, void):
        self.good_hz, self.void = good_hz, void

    def goodput_hz(self, duration_s):
        return self.good_hz


class Server:
    """Gives so many good answers a second times the machine's speed, which a shared clock moves."""

    messages = (b"", b"")

    def __init__(self, good_hz, clock, void=()):
        self.good_hz, self.clock, self.void, self.seen = good_hz, clock, void, []

    def replay(self, schedule, patient):
        assert not patient
        self.clock.append(self)
        self.seen.append(schedule)
        speed = 1.5 if (len(self.clock) - 1) // 6 % 2 else 1.0
        return Verdict(self.good_hz * speed, len(self.clock) in self.void)


@pytest.fixture(autouse=True)
def _capacity(monkeypatch):
    monkeypatch.setattr(match, "capacity", lambda one: one.good_hz)


def test_a_machine_that_changes_its_speed_does_not_change_the_ratio():
    clock = []
    found = play(Server(40.0, clock), Server(44.0, clock), Plan())
    assert len(found.pairs) == 15 and found.ratio == pytest.approx(1.1) and not found.void
    assert {first for first, _ in found.pairs} == {40.0, 60.0}


def test_both_get_the_same_load_above_what_the_first_does_and_begin_by_turns():
    clock = []
    first, second = Server(40.0, clock), Server(60.0, clock)
    play(first, second, Plan(repeats=2, point_s=50.0))
    for one, other in zip(first.seen, second.seen, strict=True):
        assert np.array_equal(one.due_s, other.due_s) and np.array_equal(one.item, other.item)
        assert len(one) / 50.0 == pytest.approx(1.5 * 40.0, rel=0.1)
    assert clock == [first, second, second, first]


@pytest.mark.parametrize(("good_hz", "pairs"), [(36.0, 4), (41.0, 8), (44.0, 15)])
def test_one_that_is_not_far_enough_ahead_is_given_up(good_hz, pairs):
    clock = []
    sides = (Server(40.0, clock), Server(good_hz, clock))
    assert len(play(*sides, Plan(), least={4: 1.0, 8: 1.05}).pairs) == pairs
    assert len(play(*sides, Plan()).pairs) == 15


def test_a_pair_whose_generator_was_late_is_made_up_for():
    clock = []
    found = play(Server(40.0, clock, void=(1,)), Server(44.0, clock), Plan(repeats=2))
    assert len(clock) == 6 and found.ratios == pytest.approx([1.1, 1.1]) and not found.void


def test_a_generator_that_is_late_too_often_makes_it_void():
    clock = []
    found = play(Server(40.0, clock, void=range(3, 99)), Server(44.0, clock), Plan(repeats=2))
    assert len(clock) == 8 and len(found.pairs) == 2 and found.void


def test_nothing_beats_nothing_and_what_was_not_played_is_alike():
    assert Match([(0.0, 0.0)]).ratio == 0.0
    assert Match().ratio == 1.0
