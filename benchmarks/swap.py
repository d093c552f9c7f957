"""The proof under traffic: flip and roll back a set of three changed models while requests keep coming.

Two sets of engines whose every mixture answers differently; requests at seeded random times, never held back;
each answer compared with what either set, and each mixture, answers to the same weld.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import serving
from benchmarks import open_loop, recording, stages, two_sets
from benchmarks.recording import Recording
from benchmarks.two_sets import NEW, OLD, OUTPUTS, PIPELINE, TwoSets
from serving.control import REPOSITORY
from serving.releases import prepare, switch
from serving.releases.live import Live
from serving.releases.store import Store, whoami

CALIBRATION = 48  # requests at once: what the server then does per second is all that it can do
SHARE_OF_CAPACITY = 0.4
NEAR_S = 0.3  # a request in flight this close to a change counts as met by it
MAX_CONTROL_MS, MAX_RATIO = 50.0, 2.0
WHY = "benchmark of the flip itself; the sets are made to differ"


@dataclass(frozen=True)
class Plan:
    """How long, how often, how much.

    flips:   and as many rollbacks; every_s: from one change to the next; steady_s: before and after them
    rate_hz: None for SHARE_OF_CAPACITY of what the machine can do
    """

    flips: int = 50
    every_s: float = 0.7
    steady_s: float = 30.0
    rate_hz: float | None = None
    seed: int = 7

    @property
    def duration_s(self) -> float:
        """Of the whole schedule."""
        return 2 * self.steady_s + 2 * self.flips * self.every_s


@dataclass(frozen=True)
class Change:
    """A flip or a rollback: between which seconds of the schedule, and how long by its own account."""

    verb: str
    begin_s: float
    end_s: float
    control_ms: float
    whole_ms: float


@dataclass(frozen=True)
class Stage:
    """Where it happens: a server, its repository, the set that waits in it, and the welds that are sent."""

    live: Live
    store: Store
    sets: TwoSets
    number: int
    payloads: Sequence[Mapping[str, Any]]

    def load(self, schedule: open_loop.Schedule, canary: float = 0.0) -> open_loop.Load:
        """Requests for this server."""
        return open_loop.load(self.live.url, schedule, self.payloads, OUTPUTS, PIPELINE, canary)


@contextmanager
def staged(work: Path, candidate: Path | None, seed: int) -> Iterator[Stage]:
    """A server of our own on a copy of the repository, with both sets resident and the old one live."""
    source = candidate or two_sets.make_candidate(work, seed)
    repository = two_sets.copy_repository(REPOSITORY, work / "repository").resolve()
    payloads = stages.welds(None, seed, work.parent)
    store = Store(repository)
    with ExitStack() as own:
        server = own.enter_context(serving.running([PIPELINE], repository))
        live = own.enter_context(Live(server.grpc, repository))
        with store.locked("prepare"):
            record = prepare.prepare(store, PIPELINE, source, target=live.target, by=whoami(), why=WHY)
        sets = TwoSets(record.release(record.active).versions, record.newest.versions)
        switch.refresh(live, sets.old, sets.new)
        yield Stage(live, store, sets, record.newest.number, payloads)


def measure(stage: Stage, plan: Plan) -> tuple[Recording, NDArray[np.str_], list[Change], dict[str, Any]]:
    """Carry the plan out.

    returns: every request, the set that answered each, every change, and the facts found beforehand
    """
    with stage.store.locked("flip"):  # the combinations are asked under the canary's name
        answers = two_sets.references(stage.live, stage.sets, stage.load(_nothing(), 1.0).messages["canary"])
    margin = two_sets.margin(answers)
    capacity_hz = capacity(stage)
    plan = replace(plan, rate_hz=plan.rate_hz or SHARE_OF_CAPACITY * capacity_hz)
    assert plan.rate_hz is not None
    schedule = open_loop.poisson(plan.rate_hz, plan.duration_s, len(stage.payloads), plan.seed)
    with open_loop.Traffic(stage.load(schedule)) as traffic:
        changes = list(_changes(stage, plan, traffic.begin()))
        recorded = traffic.finish()
    labels = recording.classify(recorded, answers, two_sets.TOLERANCE)
    facts = {
        "changed_models": list(stage.sets.changed),
        "combinations_told_apart": len(answers),
        "least_distance": margin,
        "tolerance": two_sets.TOLERANCE,
        "capacity_hz": round(capacity_hz, 2),
        "plan": asdict(plan),
    }
    return recorded, labels, changes, facts


def capacity(stage: Stage) -> float:
    """Requests per second that the server does when all it could want is there at once."""
    items = np.arange(CALIBRATION) % len(stage.payloads)
    burst = open_loop.replay(stage.load(open_loop.Schedule(np.zeros(CALIBRATION), items)))
    if not burst.answered.all():
        raise RuntimeError(f"calibration: expected answers, got {recording.summary(burst)['error_texts']}")
    return CALIBRATION / float(burst.latency_s.max())


def _nothing() -> open_loop.Schedule:
    return open_loop.Schedule(np.zeros(0), np.zeros(0, np.int64))


def _changes(stage: Stage, plan: Plan, began: float) -> Iterator[Change]:
    """Flip and roll back in turn, each when it is due."""
    verbs = ["flip", "rollback"] * plan.flips
    for index, verb in enumerate(tqdm(verbs, desc="swap", unit="change", file=sys.stderr)):
        time.sleep(max(0.0, began + plan.steady_s + index * plan.every_s - time.monotonic()))
        begin_s = time.monotonic() - began
        done = _change(stage, verb)
        yield Change(verb, begin_s, time.monotonic() - began, done.control_ms, done.whole_ms)


def _change(stage: Stage, verb: str) -> switch.Switched:
    store, live, who = stage.store, stage.live, whoami()
    with store.locked(verb):
        if verb == "flip":
            return switch.flip(store, live, PIPELINE, stage.number, by=who, why=WHY, force=WHY)
        return switch.rollback(store, live, PIPELINE, by=who, why=WHY)


def figures(
    recorded: Recording, labels: NDArray[np.str_], changes: Sequence[Change], plan: Plan
) -> dict[str, Any]:
    """What the proof rests on; latencies in milliseconds, of answers, from when each request was due."""
    first_s, last_s = plan.steady_s, plan.steady_s + 2 * plan.flips * plan.every_s
    is_steady = (recorded.due_s < first_s - NEAR_S) | (recorded.due_s >= last_s + NEAR_S)
    met = near(recorded, changes)
    steady = recording.percentiles_ms(recorded.latency_s[is_steady & recorded.answered])
    during = recording.percentiles_ms(recorded.latency_s[met & recorded.answered])
    known = (labels == OLD) | (labels == NEW) | (labels == recording.FAILED)
    return recording.summary(recorded, labels) | {
        "mixtures": int((~known).sum()),
        "steady": {"requests": int(is_steady.sum()), "latency_ms": steady},
        "changes": {
            "requests_met": int(met.sum()),
            "latency_ms": during,
            "worst_to_steady_p99": round(during["max"] / steady["p99"], 3),
            **{verb: _times(changes, verb) for verb in ("flip", "rollback")},
        },
    }


def near(recorded: Recording, changes: Sequence[Change]) -> NDArray[np.bool_]:
    """(requests,) whether a request was under way within NEAR_S of a change."""
    begin = np.array([change.begin_s for change in changes])[None] - NEAR_S
    end = np.array([change.end_s for change in changes])[None] + NEAR_S
    due = recorded.due_s[:, None]
    came = due + np.nan_to_num(recorded.latency_s, nan=np.inf)[:, None]
    return ((due <= end) & (came >= begin)).any(axis=1)


def _times(changes: Sequence[Change], verb: str) -> dict[str, Any]:
    chosen = [change for change in changes if change.verb == verb]
    found: dict[str, Any] = {"count": len(chosen)}
    for name in ("control_ms", "whole_ms"):
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
                changes[verb]["whole_ms"]["median"] <= MAX_CONTROL_MS,
                f"{verb}: expected a median of at most {MAX_CONTROL_MS:g} ms, "
                f"got {changes[verb]['whole_ms']['median']} ms",
            )
            for verb in ("flip", "rollback")
        ),
    ]
    return [sentence for kept, sentence in [*promises, *([] if answers_only else slow)] if not kept]


def table(result: Mapping[str, Any]) -> str:
    """The result for a terminal."""
    changes, steady = result["changes"], result["steady"]["latency_ms"]
    times = [
        f"{one['count']} {verb}s: {one['control_ms']['median']} ms for the call that changes it, "
        f"{one['whole_ms']['median']} ms in all (median; max {one['whole_ms']['max']})"
        for verb, one in ((verb, changes[verb]) for verb in ("flip", "rollback"))
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
