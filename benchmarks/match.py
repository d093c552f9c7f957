"""Two servers, or two kinds of traffic, in turn and a few seconds each: which gives more good answers.

A shared machine changes its speed by half within seconds, so two searches minutes apart tell more of it than
of what is compared. Here the two lie seconds apart, more is offered than can be done, and good answers a
second then rise and fall with what a server can do instead of passing or failing; the median ratio of the
pairs counts.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.goodput import MakeSchedule, alike, capacity
from benchmarks.verified import Subject, Verdict

OVERLOAD = 1.5  # of what the first does all at once
STREAM = 1_009  # seeds of two pairs lie further apart than their attempts


@dataclass(frozen=True)
class Plan:
    """Seconds of each turn, pairs of turns, and how many times as many are made at most, to make up for those
    in which the generator was late."""

    point_s: float = 5.0
    repeats: int = 15
    attempts: int = 2
    seed: int = 7


QUICK: dict[str, Any] = {"point_s": 1.5, "repeats": 1, "attempts": 1}


@dataclass(frozen=True)
class Match:
    """What came of it. pairs: good answers a second of the first and of the second, for every pair of turns

    void: whether the generator was late in some of them; else such pairs were made up for and do not count
    """

    pairs: Sequence[tuple[float, float]] = ()
    void: bool = False

    @property
    def ratios(self) -> list[float]:
        """Second over first of every pair; 0 where the first gave nothing."""
        return [second / first if first else 0.0 for first, second in self.pairs]

    @property
    def ratio(self) -> float:
        """The median; 1 where nothing was played."""
        return float(np.median(self.ratios)) if self.pairs else 1.0


def play(
    first: Subject,
    second: Subject,
    plan: Plan,
    of_second: MakeSchedule | None = None,
    least: Mapping[int, float] | None = None,
) -> Match:
    """A pair of turns per repeat; who begins alternates.

    of_second: its arrivals of a rate, seconds and seed; by default each of its requests alike
    least:     pairs -> the ratio that the second has to have after so many, or it is given up
    """
    rate_hz = OVERLOAD * capacity(first)
    sides = ((first, alike(first)), (second, of_second or alike(second)))
    good: list[tuple[float, float]] = []
    late: list[tuple[float, float]] = []
    with tqdm(total=plan.repeats, desc="in turn", unit="pair", leave=False, file=sys.stderr) as bar:
        for number in range(plan.attempts * plan.repeats):
            pair, is_void = _pair(sides, plan, rate_hz, number)
            (late if is_void else good).append(pair)
            found = Match(good)
            bar.set_postfix(ratio=f"{found.ratio:.2f}")
            bar.update(not is_void)
            if len(good) == plan.repeats or found.ratio < (least or {}).get(len(good), 0.0):
                return found
    return Match([*good, *late][: plan.repeats], void=True)


def _pair(
    sides: Sequence[tuple[Subject, MakeSchedule]], plan: Plan, rate_hz: float, number: int
) -> tuple[tuple[float, float], bool]:
    seed = plan.seed + STREAM * (1 + number)
    verdicts: dict[int, Verdict] = {}
    for side in (0, 1) if number % 2 == 0 else (1, 0):
        subject, schedule = sides[side]
        verdicts[side] = subject.replay(schedule(rate_hz, plan.point_s, seed), patient=False)
    first, second = (verdicts[side].goodput_hz(plan.point_s) for side in (0, 1))
    return (first, second), any(each.void for each in verdicts.values())
