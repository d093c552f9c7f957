"""The proof under traffic: flip and roll back a set of three changed models while requests keep coming.

Two sets of engines whose every mixture answers differently; requests at seeded random times, never held back;
each answer compared with what either set, and each mixture, answers to the same weld.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import flips, one_by_one, recording, stages, two_sets
from benchmarks.flips import Change, Plan
from benchmarks.recording import Recording
from benchmarks.two_sets import NEW, OLD, PIPELINE
from serving.releases.sequence import Releases

NEAR_S = 0.3  # a request in flight this close to a change counts as met by it
STEADY_S = 1.0  # one that is under way at least this far from every change counts as steady
MAX_CHANGE_MS, MAX_RATIO = 50.0, 2.0
VERBS = ("flip", "rollback")


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    candidate: folder of the set to flip to; None: one is made
    server:    where an own server answers and the repository it reads; None: one is started on a copy
    rate_hz:   None for SHARE_OF_CAPACITY of what the machine can do
    naive:     also reload the models one after another, on a second server
    """

    work: Path
    plan: Plan
    candidate: Path | None = None
    server: tuple[str, Path] | None = None
    rate_hz: float | None = None
    naive: bool = False


@dataclass(frozen=True)
class Outcome:
    """All that came of it, ready to be judged, written and drawn."""

    result: dict[str, Any]
    recorded: Recording
    labels: NDArray[np.str_]
    changes: Sequence[Change]
    naive: tuple[Recording, NDArray[np.str_], Sequence[one_by_one.Window]] | None = None


def run(request: Request) -> Outcome:
    """Prepare, tell apart, calibrate, measure; the server that was started is gone afterwards."""
    plan = request.plan
    with ExitStack() as own:
        if request.server is None:
            stage = own.enter_context(flips.staged(request.work, request.candidate, plan.seed))
        else:
            url, repository = request.server
            source = request.candidate or two_sets.make_candidate(request.work, plan.seed)
            payloads = stages.welds(None, plan.seed, request.work.parent)
            stage = flips.arrange(Releases(PIPELINE, repository, url), source, payloads)
        answers = flips.told_apart(stage)
        least = two_sets.margin(answers)
        tolerance = two_sets.tolerance(least)
        facts: dict[str, Any] = {
            "changed_models": list(stage.sets.changed),
            "combinations_told_apart": len(answers),
            "least_distance": least,
            "tolerance": tolerance,
            "plan": asdict(plan),
        }
        capacity_hz = flips.capacity(stage)
        rate_hz = request.rate_hz or flips.SHARE_OF_CAPACITY * capacity_hz
        recorded, changes = flips.measure(stage, plan, rate_hz)
    labels = recording.classify(recorded, answers, tolerance)
    facts |= {"capacity_hz": round(capacity_hz, 2), "share_of_capacity": round(rate_hz / capacity_hz, 2)}
    result = facts | figures(recorded, labels, changes)
    if not request.naive:
        return Outcome(result, recorded, labels, changes)
    engines = one_by_one.engines_of(stage.releases.repository, stage.sets)
    reloads = one_by_one.Reloads(rate_hz=rate_hz, seed=plan.seed)
    rows, windows = one_by_one.measure(request.work, engines, stage.payloads, reloads)
    naive = rows, recording.classify(rows, answers, tolerance), windows
    return Outcome(result | {"one_by_one": one_by_one.figures(*naive)}, recorded, labels, changes, naive)


def figures(recorded: Recording, labels: NDArray[np.str_], changes: Sequence[Change]) -> dict[str, Any]:
    """What the proof rests on; latencies in milliseconds, of answers, from when each request was due.

    raises: ValueError when too little was answered to compare
    """
    is_steady = ~near(recorded, changes, STEADY_S)
    met = near(recorded, changes, NEAR_S)
    steady = recording.percentiles_ms(recorded.latency_s[is_steady & recorded.answered])
    during = recording.percentiles_ms(recorded.latency_s[met & recorded.answered])
    if not steady or not during:
        raise ValueError(
            f"swap: expected answers both far from and near to changes, got {int(is_steady.sum())} and "
            f"{int(met.sum())} requests, {int((~recorded.answered).sum())} of all failed; raise --rate or "
            "--steady-s, or see the server's log"
        )
    known = (labels == OLD) | (labels == NEW) | (labels == recording.FAILED)
    return recording.summary(recorded, labels) | {
        "mixtures": int((~known).sum()),
        "steady": {"requests": int(is_steady.sum()), "latency_ms": steady},
        "changes": {
            "requests_met": int(met.sum()),
            "latency_ms": during,
            "worst_to_steady_p99": round(during["max"] / steady["p99"], 3),
            **{verb: _times(changes, verb) for verb in VERBS},
        },
    }


def near(recorded: Recording, changes: Sequence[Change], within_s: float) -> NDArray[np.bool_]:
    """(requests,) whether a request was under way within so many seconds of a change."""
    begin = np.array([change.begin_s for change in changes])[None] - within_s
    end = np.array([change.end_s for change in changes])[None] + within_s
    due = recorded.due_s[:, None]
    came = due + np.nan_to_num(recorded.latency_s, nan=np.inf)[:, None]
    return ((due <= end) & (came >= begin)).any(axis=1)


def _times(changes: Sequence[Change], verb: str) -> dict[str, Any]:
    chosen = [change for change in changes if change.verb == verb]
    found: dict[str, Any] = {"count": len(chosen)}
    for name in ("control_ms", "whole_ms", "call_ms"):
        values = [getattr(change, name) for change in chosen]
        found[name] = {"median": round(float(np.median(values)), 2), "max": round(max(values), 2)}
    return found


def faults(result: Mapping[str, Any], answers_only: bool = False) -> list[str]:
    """A sentence for every promise that was not kept; answers_only: leave the machine's speed out of it."""
    changes = result["changes"]
    promises = [
        (result["errors"] == 0, f"errors: expected none, got {result['errors']}: {result['error_texts']}"),
        (result["mixtures"] == 0, f"answers: expected whole sets, got {result['mixtures']} others"),
        (
            all(result["sets"].get(name, 0) for name in (OLD, NEW)),
            f"answers: expected some of both sets, got {result['sets']}",
        ),
    ]
    slow = [
        (
            not result["void"],
            f"generator: expected a lag p99 up to 1 ms, got {result['lag_ms'].get('p99')} ms",
        ),
        (
            changes["worst_to_steady_p99"] <= MAX_RATIO,
            f"worst latency near a change: expected at most {MAX_RATIO:g} x the steady p99, "
            f"got {changes['worst_to_steady_p99']} x",
        ),
        *(
            (
                changes[verb]["whole_ms"]["median"] <= MAX_CHANGE_MS,
                f"{verb}: expected a median of at most {MAX_CHANGE_MS:g} ms, "
                f"got {changes[verb]['whole_ms']['median']} ms",
            )
            for verb in VERBS
        ),
    ]
    return [sentence for kept, sentence in [*promises, *([] if answers_only else slow)] if not kept]


def table(result: Mapping[str, Any]) -> str:
    """The result for a terminal."""
    changes, steady = result["changes"], result["steady"]["latency_ms"]
    times = [
        f"{one['count']} {verb}s: {one['control_ms']['median']} ms for the call that changes it, "
        f"{one['whole_ms']['median']} ms in all (median; max {one['whole_ms']['max']})"
        for verb, one in ((verb, changes[verb]) for verb in VERBS)
    ]
    sets = ", ".join(f"{count} {name}" for name, count in sorted(result["sets"].items()))
    return "\n".join(
        [
            f"{result['requests']} requests at {result['rate_hz']} a second: {result['errors']} errors, "
            f"{result['mixtures']} mixed answers ({sets})",
            *times,
            f"latency, steady: p50 {steady['p50']} ms, p99 {steady['p99']} ms; near a change: p50 "
            f"{changes['latency_ms']['p50']} ms, p99 {changes['latency_ms']['p99']} ms, worst "
            f"{changes['latency_ms']['max']} ms = {changes['worst_to_steady_p99']} x the steady p99",
            f"generator lag: p99 {result['lag_ms']['p99']} ms",
        ]
    )
