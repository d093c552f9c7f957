"""Goodput at an SLO: the highest rate of Poisson arrivals whose answers are in time, found by bisection.

A rate is accepted by early stopping (`early_stopping`): so many requests with so few misses that 99 % in time
is 99 % certain, and at most 0.1 % failed or wrong. A run whose generator was late is void and is repeated.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks import early_stopping
from benchmarks.arrivals import Schedule, poisson
from benchmarks.open_loop import Limit
from benchmarks.verified import Subject, Verdict, at_once

MOST_FAILED = 0.001
CALIBRATION = 48  # at once: what the server then does a second is near its limit
FIRST_BRACKET = (0.5, 1.0)  # of that limit
NEXT_BRACKET = (0.9, 1.12)  # of what the repeat before it found
WIDER = 1.5
MOST_UP, MOST_DOWN = 12, 6  # steps from the bracket; below a tenth of it every point takes many minutes
STREAM = 1_000_003  # seeds of two points lie further apart than points are numbered


@dataclass(frozen=True)
class Plan:
    """How long and how often; the defaults are those of a figure that may be quoted.

    point_s:    of arrivals at one rate, longer where the rate is too low for enough requests
    resolution: relative distance of the accepted and the refused rate at which the search ends
    share, confidence: of answers in time, and that it is so
    attempts:   at a point whose generator was late
    """

    point_s: float = 60.0
    repeats: int = 5
    resolution: float = 0.04
    share: float = early_stopping.SHARE
    confidence: float = early_stopping.CONFIDENCE
    attempts: int = 3
    seed: int = 7

    def duration_s(self, rate_hz: float) -> float:
        """Long enough for one miss; the square root is room for a Poisson number that comes out small."""
        least = early_stopping.least_requests(1, self.share, self.confidence)
        return max(self.point_s, (least + 3.0 * least**0.5) / rate_hz)


QUICK: dict[str, Any] = {
    "point_s": 1.5,
    "repeats": 1,
    "resolution": 0.6,
    "share": 0.8,
    "confidence": 0.5,
    "attempts": 1,
}

MakeSchedule = Callable[[float, float, int], Schedule]  # rate, seconds, seed


@dataclass(frozen=True)
class Point:
    """One rate that was tried, and what came of it."""

    rate_hz: float
    accepted: bool
    void: bool
    figures: dict[str, Any]


@dataclass
class Search:
    """The points of one bisection, in order; `note` is called after each."""

    subject: Subject
    plan: Plan
    schedule: MakeSchedule
    repeat: int = 0
    note: Callable[[Point], None] = lambda point: None
    points: list[Point] = field(default_factory=list)

    def accepts(self, rate_hz: float) -> bool:
        """Try a rate, again while the generator was late."""
        for attempt in range(self.plan.attempts):
            point = self._try(rate_hz, attempt)
            self.points.append(point)
            self.note(point)
            if not point.void:
                break
        return self.points[-1].accepted

    def _try(self, rate_hz: float, attempt: int) -> Point:
        plan = self.plan
        duration_s = plan.duration_s(rate_hz)
        seed = plan.seed + STREAM * (1 + self.repeat) + 31 * len(self.points) + attempt
        schedule = self.schedule(rate_hz, duration_s, seed)
        most = early_stopping.most_missed(len(schedule), plan.share, plan.confidence)
        limit = Limit(self.subject.workload.slo_ms / 1e3, max(most, 0))
        verdict = self.subject.replay(schedule, limit, patient=False)
        whole = len(verdict.recording) == len(schedule)
        seconds = duration_s if whole else float(np.ptp(verdict.recording.due_s)) or duration_s
        accepted = whole and accepts(verdict, plan)
        return Point(rate_hz, accepted, verdict.void, verdict.figures(seconds) | {"stopped_early": not whole})


def accepts(verdict: Verdict, plan: Plan) -> bool:
    """Whether a run shows that its rate is within the SLO."""
    most = early_stopping.most_missed(len(verdict.recording), plan.share, plan.confidence)
    return int(verdict.missed.sum()) <= most and verdict.failed_share <= MOST_FAILED


def bisect(accepts: Callable[[float], bool], low: float, high: float, resolution: float) -> float:
    """The highest accepted rate, to within `resolution`; 0 when even a tenth of `low` is not.

    low, high: where it is thought to lie; both are tried, and moved while they are on the wrong side
    """
    for _ in range(MOST_DOWN):
        if accepts(low):
            break
        low, high = low / WIDER, low
    else:
        return 0.0
    for _ in range(MOST_UP):
        if high / low <= 1.0 + resolution or not accepts(high):
            break
        low, high = high, high * WIDER
    while high / low > 1.0 + resolution:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if accepts(middle) else (low, middle)
    return low


def capacity(subject: Subject, count: int = CALIBRATION) -> float:
    """Answers a second when all requests are there at once; where a search begins.

    raises: RuntimeError when the server does not answer all of them
    """
    verdict = subject.replay(at_once(count, len(subject.messages)))
    if verdict.failed.any():
        codes = verdict.figures(1.0)["failed_codes"]
        raise RuntimeError(f"calibration: expected {count} answers, got {codes}; see the server's log")
    return count / float(verdict.recording.latency_s.max())


def alike(subject: Subject) -> MakeSchedule:
    """Poisson arrivals of each of the subject's requests alike."""
    return lambda rate_hz, seconds, seed: poisson(rate_hz, seconds, len(subject.messages), seed)


def measure(subject: Subject, plan: Plan, near_hz: float = 0.0) -> dict[str, Any]:
    """Search as often as planned.

    near_hz: what is expected, where it is known; by default the search begins at a burst's throughput
    """
    drawn = alike(subject)
    capacity_hz = capacity(subject)
    shares, middle = (NEXT_BRACKET, near_hz) if near_hz else (FIRST_BRACKET, capacity_hz)
    around = tuple(share * middle for share in shares)
    searches = []
    with tqdm(desc="goodput", unit="point", file=sys.stderr) as bar:
        for repeat in range(plan.repeats):
            search = Search(subject, plan, drawn, repeat, _shower(bar, repeat))
            found = bisect(search.accepts, around[0], around[1], plan.resolution)
            searches.append((found, search.points))
            if found:
                around = tuple(share * found for share in NEXT_BRACKET)
    return {
        "plan": asdict(plan),
        "capacity_hz": round(capacity_hz, 3),
        "slo_ms": subject.workload.slo_ms,
        "slo_reason": subject.workload.why,
        "tolerance": subject.workload.tolerance,
        "least_distance": subject.expected.least_distance,
        "goodput_hz": spread([found for found, _ in searches]),
        "void": any(point.void for _, points in searches for point in last_of_each_rate(points)),
        "repeats": [{"goodput_hz": found, "points": list(map(asdict, points))} for found, points in searches],
    }


def last_of_each_rate(points: Sequence[Point]) -> list[Point]:
    """What was decided on: the last attempt at each rate."""
    return list({point.rate_hz: point for point in points}.values())


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and most."""
    return {
        "median": round(float(np.median(values)), 4),
        "min": round(min(values), 4),
        "max": round(max(values), 4),
    }


def said(values: dict[str, float], unit: str = "") -> str:
    """A spread for a terminal."""
    return f"{values['median']:.4g}{unit} [{values['min']:.4g}-{values['max']:.4g}]"


def faults(result: dict[str, Any]) -> list[str]:
    """A sentence for what makes the figure worthless."""
    found = []
    if result["void"]:
        found.append(
            "generator: expected a lag p99 up to 1 ms at every rate, got more in spite of repeats; void"
        )
    if not result["goodput_hz"]["median"]:
        found.append(f"goodput: expected some rate within {result['slo_ms']:g} ms, found none")
    return found


def table(result: dict[str, Any]) -> str:
    """The result for a terminal."""
    rows = [
        f"{'rate':>9} {'requests':>9} {'p50':>8} {'p99':>8} {'late':>6} {'failed':>7} {'wrong':>6}  verdict"
    ]
    for point in (point for repeat in result["repeats"] for point in repeat["points"]):
        one = point["figures"]
        latency = one["latency_ms"] or {"p50": float("nan"), "p99": float("nan")}
        verdict = "void" if point["void"] else "accepted" if point["accepted"] else "refused"
        rows.append(
            f"{point['rate_hz']:9.2f} {one['requests']:9d} {latency['p50']:8.1f} {latency['p99']:8.1f} "
            f"{one['late']:6d} {one['failed']:7d} {one['wrong']:6d}  {verdict}"
        )
    found = said(result["goodput_hz"], " requests/s")
    return "\n".join(
        [*rows, f"goodput at {result['slo_ms']:g} ms: {found} over {len(result['repeats'])} repeats"]
    )


def _shower(bar: Any, repeat: int) -> Callable[[Point], None]:
    def note(point: Point) -> None:
        bar.set_postfix(repeat=repeat + 1, rate=f"{point.rate_hz:.1f}", accepted=point.accepted)
        bar.update()

    return note
