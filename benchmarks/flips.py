"""Flip and roll back a set of changed models, again and again, while open-loop requests keep coming."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import serving
from benchmarks import open_loop, recording, stages, two_sets
from benchmarks.recording import Recording
from benchmarks.two_sets import OUTPUTS, PIPELINE, TwoSets
from serving.control import REPOSITORY
from serving.releases.live import Live
from serving.releases.sequence import Releases
from serving.releases.switch import Switched, refresh

CALIBRATION = 48  # requests at once: what the server then does per second is all that it can do
SHARE_OF_CAPACITY = 0.4
LEAST_CHANGED = 3
WHY = "benchmark of the flip itself; the sets are made to differ"


@dataclass(frozen=True)
class Plan:
    """How long, how often, how much.

    flips:  and as many rollbacks; every_s: from one change to the next
    blocks: of changes, with `steady_s` of plain traffic before, between and after them: what else the machine
            does then falls on both alike
    """

    flips: int = 50
    every_s: float = 0.7
    blocks: int = 5
    steady_s: float = 10.0
    seed: int = 7

    @property
    def duration_s(self) -> float:
        """Of the whole schedule."""
        return (self.blocks + 1) * self.steady_s + 2 * self.flips * self.every_s

    def due_s(self, index: int) -> float:
        """When change number `index` of 2 * flips is due."""
        block = index * self.blocks // (2 * self.flips)
        return (block + 1) * self.steady_s + index * self.every_s


@dataclass(frozen=True)
class Change:
    """A flip or a rollback: between which seconds of the schedule, and how long by its own account.

    control_ms: the load of the ensemble, which is the change itself; whole_ms: with the rehearsal before it
    and the record after it
    """

    verb: str
    begin_s: float
    end_s: float
    control_ms: float
    whole_ms: float

    @property
    def call_ms(self) -> float:
        """Of the whole call, with connecting and locking."""
        return 1e3 * (self.end_s - self.begin_s)


@dataclass(frozen=True)
class Stage:
    """Where it happens: a server, its repository, the set that waits in it, and the welds that are sent."""

    releases: Releases
    sets: TwoSets
    number: int
    payloads: Sequence[Mapping[str, Any]]

    def load(self, schedule: open_loop.Schedule, canary: float = 0.0) -> open_loop.Load:
        """Requests for this server."""
        return open_loop.load(self.releases.url, schedule, self.payloads, OUTPUTS, PIPELINE, canary)


@contextmanager
def staged(work: Path, candidate: Path | None, seed: int) -> Iterator[Stage]:
    """A server of our own on a copy of the repository, with both sets resident and the old one live."""
    source = candidate or two_sets.make_candidate(work, seed)
    repository = two_sets.copy_repository(REPOSITORY, work / "repository").resolve()
    payloads = stages.welds(None, seed, work.parent)
    with serving.running([PIPELINE], repository) as server:
        yield arrange(Releases(PIPELINE, repository, server.grpc), source, payloads)


def arrange(releases: Releases, source: Path, payloads: Sequence[Mapping[str, Any]]) -> Stage:
    """Prepare the second set.

    raises: ValueError when it changes fewer than three models: a mixture would not be at stake
    """
    release = releases.prepare(source, WHY)
    record = releases.store.read(PIPELINE)
    assert record is not None
    sets = TwoSets(record.release(record.active).versions, release.versions)
    if len(sets.changed) < LEAST_CHANGED:
        raise ValueError(
            f"{source}: expected a set in which at least {LEAST_CHANGED} models differ from the live one, "
            f"got {len(sets.changed)}; leave --set out to have one made"
        )
    return Stage(releases, sets, release.number, payloads)


def told_apart(stage: Stage) -> dict[str, NDArray[np.float32]]:
    """What every combination answers; the pipeline stays at the old set, both are resident then."""
    releases = stage.releases
    with Live(releases.url, releases.repository) as live, releases.store.locked("check"):
        refresh(live, stage.sets.old, stage.sets.new)
        return two_sets.references(live, stage.sets, stage.load(_nothing(), 1.0).messages["canary"])


def measure(stage: Stage, plan: Plan, rate_hz: float) -> tuple[Recording, list[Change]]:
    """Carry the plan out; returns every request and every change."""
    schedule = open_loop.poisson(rate_hz, plan.duration_s, len(stage.payloads), plan.seed)
    with open_loop.Traffic(stage.load(schedule)) as traffic:
        changes = list(_changes(stage, plan, traffic.begin()))
        return traffic.finish(), changes


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
        time.sleep(max(0.0, began + plan.due_s(index) - time.monotonic()))
        begin_s = time.monotonic() - began
        done = _change(stage, verb)
        yield Change(verb, begin_s, time.monotonic() - began, done.control_ms, done.whole_ms)


def _change(stage: Stage, verb: str) -> Switched:
    if verb == "flip":
        return stage.releases.flip(stage.number, why=WHY, force=WHY)
    return stage.releases.rollback(WHY)
