"""Goodput of every side in one run, side after side in each round, so that noise falls on all alike.

Before that every peer is tried with one worker that has all cores and with a worker per core; it is measured
with the one that does more when everything is there at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

import serving
from benchmarks import coldstart, curve, goodput, processor, verified
from benchmarks.goodput import spread
from benchmarks.peers import environments
from benchmarks.peers.sides import OURS, Question, Side
from benchmarks.verified import Subject
from serving.processes import belonging

SHARES = LIGHT, HEAVY = (0.8, 1.5)
AT_ONCE = 96  # twelve full batches: no layout idles long at either end
WANTED = {
    "same-engines": 1.5,
    "FastAPI, torch": 3.0,
}  # our goodput against the best with our engines, and that


@dataclass(frozen=True)
class Plan:
    """How a round measures, and how many rounds."""

    search: goodput.Plan
    curve: curve.Plan
    layouts: Sequence[tuple[int, int]]
    rounds: int = 5


def plan(quick: bool, seed: int, rounds: int | None = None, point_s: float | None = None) -> Plan:
    """The plan of a quotable figure, or of a run that proves the logic."""
    cores = len(os.sched_getaffinity(0))
    layouts = [(1, cores)] if quick else list(dict.fromkeys([(1, cores), (cores, 1)]))
    times: dict[str, Any] = {"seed": seed} | ({} if point_s is None else {"point_s": point_s})
    search = goodput.Plan(**(goodput.QUICK if quick else {}) | times)
    loads = curve.Plan(**(curve.QUICK if quick else {}) | times)
    return Plan(replace(search, repeats=1), replace(loads, repeats=1), layouts, rounds or (1 if quick else 5))


@dataclass
class Measured:
    """What is known of one side so far; bursts: (answers a second, processor ms each) of all at once."""

    facts: dict[str, Any]
    searches: list[dict[str, Any]] = field(default_factory=list)
    curves: list[dict[str, Any]] = field(default_factory=list)
    bursts: list[tuple[float, float]] = field(default_factory=list)
    memory: dict[str, float] = field(default_factory=dict)


Up = Callable[[], AbstractContextManager[tuple[Subject, list[int]]]]
FAILURES = (OSError, RuntimeError, ValueError)  # of a peer: told in the result, and the others go on


def measure(
    sides: Sequence[Side],
    question: Question,
    chosen: Plan,
    repository: Path,
    folder: Path,
    keep: Callable[[dict[str, Any]], object] = lambda result: None,
) -> dict[str, Any]:
    """Every side that can be measured and our own server; `keep` gets what is known after each of them."""
    found = {OURS: Measured({"name": OURS, "engine": ""})}
    ups: dict[str, Up] = {OURS: partial(ours, question, repository)}
    failures: list[str] = []
    for side in tqdm(sides, desc="layouts", unit="side", file=sys.stderr):
        try:
            own = environments.made(side.peer, folder)
            facts, layout = _tried(side, question, chosen.layouts, own, folder)
        except FAILURES as error:
            failures.append(f"{side.name}: not measured: {error}")
            continue
        found[side.name] = Measured(facts)
        ups[side.name] = partial(side.up, question, layout, own, folder)
    with tqdm(total=chosen.rounds * len(found), desc="peers", unit="side", file=sys.stderr) as bar:
        for number in range(chosen.rounds):
            for name, up in ups.items():
                try:
                    with up() as (subject, pids):
                        _round(found[name], subject, pids, chosen, number)
                except FAILURES as error:
                    failures.append(f"{name}: round {number + 1} failed: {error}")
                bar.update()
                keep(_result(found, question, chosen, failures))
    return _result(found, question, chosen, failures)


def _result(
    found: Mapping[str, Measured], question: Question, chosen: Plan, failures: Sequence[str]
) -> dict[str, Any]:
    rows = [_row(one) for one in found.values() if one.searches]
    return {
        "slo_ms": question.workload.slo_ms,
        "slo_reason": question.workload.why,
        "shared_packages": list(environments.shared_versions()),
        "plan": {**asdict(chosen)},
        "servers": rows,
        "ratios": ratios(rows),
        "failures": list(failures),
        "void": any(row["void"] for row in rows),
    }


@contextmanager
def ours(question: Question, repository: Path) -> Iterator[tuple[Subject, list[int]]]:
    """Our own server, asked over gRPC as its clients ask."""
    with serving.running([question.workload.pipeline], repository) as address:
        subject = verified.subject(address.grpc, question.workload, question.payloads)
        yield subject, [*belonging(address.state().shm_prefix), address.state().supervisor_pid]


def _tried(
    side: Side, question: Question, layouts: Sequence[tuple[int, int]], programs: Path, folder: Path
) -> tuple[dict[str, Any], tuple[int, int]]:
    """Facts of a side, and the layout that does most when everything is there at once.

    raises: RuntimeError when no layout answers
    """
    capacities: dict[tuple[int, int], float] = {}
    refused: dict[tuple[int, int], str] = {}
    away: Mapping[str, float] = {}
    for layout in layouts:
        try:
            with side.up(question, layout, programs, folder) as (subject, _):
                away = subject.away
                capacities[layout] = goodput.capacity(subject)
        except RuntimeError as error:
            refused[layout] = str(error)
    if not capacities:
        raise RuntimeError("; ".join(refused.values()))
    best = max(capacities, key=lambda layout: capacities[layout])
    facts = {
        "name": side.peer.title,
        "engine": side.variant,
        "version": environments.version(side.peer, programs),
        "protocol": side.peer.protocol,
        "batching": side.peer.batching,
        "workers": best[0],
        "threads": best[1],
        "layouts": [
            {"workers": workers, "threads": threads, "capacity_hz": round(hz, 3)}
            for (workers, threads), hz in capacities.items()
        ],
        "layouts_refused": [{"layout": layout, "why": why} for layout, why in refused.items()],
        "away_from_pytorch": dict(away),
    }
    return facts, best


def _round(found: Measured, subject: Subject, pids: list[int], chosen: Plan, number: int) -> None:
    """All at once, one search, and the two loads that the table quotes, relative to what the search found."""
    before_s = processor.taken_s(pids)
    burst_hz = goodput.capacity(subject, AT_ONCE)
    found.bursts.append((burst_hz, (processor.taken_s(pids) - before_s) / AT_ONCE * 1e3))
    search = replace(chosen.search, seed=chosen.search.seed + 7919 * number)
    near_hz = found.searches[-1]["goodput_hz"]["median"] if found.searches else 0.0
    found.searches.append(goodput.measure(subject, search, near_hz=near_hz))
    rate_hz = found.searches[-1]["goodput_hz"]["median"]
    if rate_hz:
        loads = replace(chosen.curve, seed=chosen.curve.seed + 7919 * number)
        found.curves.append(curve.measure(subject, rate_hz, loads, SHARES))
    found.memory = coldstart.memory(pids)


def _row(found: Measured) -> dict[str, Any]:
    """One side as the result has it."""
    points = {
        share: curve.row(share, [one["points"][place]["runs"][0] for one in found.curves])
        for place, share in enumerate(SHARES)
        if found.curves
    }
    return found.facts | {
        "goodput_hz": spread([one["goodput_hz"]["median"] for one in found.searches]),
        "latency_ms": points[LIGHT]["latency_ms"] if points else None,
        "slo_attained_at_150": points[HEAVY]["slo_attained"] if points else None,
        "points": list(points.values()),
        "at_once_hz": spread([hz for hz, _ in found.bursts]),
        "processor_ms": spread([ms for _, ms in found.bursts]),
        "memory_mib": found.memory,
        "void": any(one["void"] for one in (*found.searches, *found.curves)),
        "searches": found.searches,
    }


def ratios(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Our goodput as a multiple of every other side's; None where that side, or ours, has none."""
    own = next((row["goodput_hz"]["median"] for row in rows if row["name"] == OURS), None)
    others = {title(row): row["goodput_hz"]["median"] for row in rows if row["name"] != OURS}
    return {name: round(own / hz, 3) if own is not None and hz else None for name, hz in others.items()}


def title(row: Mapping[str, Any]) -> str:
    """Name and engine of a row."""
    return f"{row['name']}, {row['engine']}" if row["engine"] else str(row["name"])


def faults(result: Mapping[str, Any]) -> list[str]:
    """A sentence for every target that was missed, and for a run that says nothing."""
    found = list(result["failures"])
    found += (
        ["generator: expected a lag p99 up to 1 ms in every run, got more; void"] if result["void"] else []
    )
    for name, ratio in result["ratios"].items():
        wanted = WANTED.get(name) or WANTED.get(name.rpartition(", ")[2])
        if wanted and ratio is not None and ratio < wanted:
            found.append(f"{name}: expected at least {wanted:g} times its goodput, got {ratio:g}")
    return found


def table(result: Mapping[str, Any]) -> str:
    """The result for a terminal; `at once` and `CPU ms`: answers a second and processor time of each then."""
    width = max((len(title(row)) for row in result["servers"]), default=0)
    names = ("goodput/s", "p50", "p95", "p99", "SLO at 150 %", "at once/s", "CPU ms", "MiB")
    lines = [f"{'':<{width}} {' '.join(f'{name:>12}' for name in names)}"]
    for row in result["servers"]:
        latency, kept = row["latency_ms"] or {}, row["slo_attained_at_150"]
        figures = [
            f"{row['goodput_hz']['median']:.2f}",
            *(f"{latency[name]['median']:.1f}" if latency else "-" for name in ("p50", "p95", "p99")),
            f"{kept['median']:.1%}" if kept else "-",
            f"{row['at_once_hz']['median']:.1f}",
            f"{row['processor_ms']['median']:.1f}",
            f"{row['memory_mib'].get('pss', 0.0):.0f}",
        ]
        lines.append(f"{title(row):<{width}} {' '.join(f'{text:>12}' for text in figures)}")
    return "\n".join([*lines, *result["failures"]])
