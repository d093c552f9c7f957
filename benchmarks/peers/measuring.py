"""Goodput of every side in one run, side after side in each round, so that noise falls on all alike.

Before that every peer is tried with one worker that has all cores and with a worker per core; it is measured
with the one that does more when everything is there at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

import serving
from benchmarks import coldstart, curve, goodput, verified
from benchmarks.goodput import spread
from benchmarks.peers import environments
from benchmarks.peers.sides import OURS, Question, Side
from benchmarks.verified import Subject
from serving.processes import belonging

SHARES = LIGHT, HEAVY = (0.8, 1.5)
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
    """What is known of one side so far."""

    name: str
    facts: dict[str, Any]
    searches: list[dict[str, Any]]
    curves: list[dict[str, Any]]
    memory: dict[str, float]


def measure(
    sides: Sequence[Side], question: Question, chosen: Plan, repository: Path, folder: Path
) -> dict[str, Any]:
    """All sides and our own server; errors as `Side.up`."""
    programs = {side.peer.name: environments.made(side.peer, folder) for side in sides}
    found = {OURS: Measured(OURS, {"name": OURS, "engine": ""}, [], [], {})}
    layouts: dict[str, tuple[int, int]] = {}
    for side in tqdm(sides, desc="layouts", unit="side", file=sys.stderr):
        facts, layouts[side.name] = _tried(side, question, chosen.layouts, programs, folder)
        found[side.name] = Measured(side.name, facts, [], [], {})
    with tqdm(total=chosen.rounds * len(found), desc="peers", unit="side", file=sys.stderr) as bar:
        for number in range(chosen.rounds):
            search = replace(chosen.search, seed=chosen.search.seed + 7919 * number)
            loads = replace(chosen.curve, seed=chosen.curve.seed + 7919 * number)
            with ours(question, repository) as (subject, pids):
                _round(found[OURS], subject, pids, search, loads)
            bar.update()
            for side in sides:
                own = programs[side.peer.name]
                with side.up(question, layouts[side.name], own, folder) as (subject, pids):
                    _round(found[side.name], subject, pids, search, loads)
                bar.update()
    rows = [_row(one) for one in found.values()]
    return {
        "slo_ms": question.workload.slo_ms,
        "slo_reason": question.workload.why,
        "shared_packages": list(environments.shared_versions()),
        "plan": {**asdict(chosen)},
        "servers": rows,
        "ratios": ratios(rows),
        "void": any(row["void"] for row in rows),
    }


@contextmanager
def ours(question: Question, repository: Path) -> Iterator[tuple[Subject, list[int]]]:
    """Our own server, asked over gRPC as its clients ask."""
    with serving.running([question.workload.pipeline], repository) as address:
        subject = verified.subject(address.grpc, question.workload, question.payloads)
        yield subject, [*belonging(address.state().shm_prefix), address.state().supervisor_pid]


def _tried(
    side: Side,
    question: Question,
    layouts: Sequence[tuple[int, int]],
    programs: Mapping[str, Path],
    folder: Path,
) -> tuple[dict[str, Any], tuple[int, int]]:
    """Facts of a side, and the layout that does most when everything is there at once."""
    own = programs[side.peer.name]
    capacities: dict[tuple[int, int], float] = {}
    away: Mapping[str, float] = {}
    for layout in layouts:
        with side.up(question, layout, own, folder) as (subject, _):
            away = subject.away
            capacities[layout] = goodput.capacity(subject)
    best = max(capacities, key=lambda layout: capacities[layout])
    facts = {
        "name": side.peer.title,
        "engine": side.variant,
        "version": environments.version(side.peer, own),
        "protocol": side.peer.protocol,
        "batching": side.peer.batching,
        "workers": best[0],
        "threads": best[1],
        "layouts": [
            {"workers": layout[0], "threads": layout[1], "capacity_hz": round(hz, 3)}
            for layout, hz in capacities.items()
        ],
        "away_from_pytorch": dict(away),
    }
    return facts, best


def _round(
    found: Measured, subject: Subject, pids: list[int], search: goodput.Plan, loads: curve.Plan
) -> None:
    """One search, and the two loads that the table quotes, relative to what the search found."""
    found.searches.append(goodput.measure(subject, search))
    rate_hz = found.searches[-1]["goodput_hz"]["median"]
    if rate_hz:
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
        "memory_mib": found.memory,
        "void": any(one["void"] for one in (*found.searches, *found.curves)),
        "searches": found.searches,
    }


def ratios(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Our goodput as a multiple of every other side's; None where that side has none."""
    own = next(row["goodput_hz"]["median"] for row in rows if row["name"] == OURS)
    others = {title(row): row["goodput_hz"]["median"] for row in rows if row["name"] != OURS}
    return {name: round(own / hz, 3) if hz else None for name, hz in others.items()}


def title(row: Mapping[str, Any]) -> str:
    """Name and engine of a row."""
    return f"{row['name']}, {row['engine']}" if row["engine"] else str(row["name"])


def faults(result: Mapping[str, Any]) -> list[str]:
    """A sentence for every target that was missed, and for a run that says nothing."""
    found = (
        ["generator: expected a lag p99 up to 1 ms in every run, got more; void"] if result["void"] else []
    )
    for name, ratio in result["ratios"].items():
        wanted = WANTED.get(name) or WANTED.get(name.rpartition(", ")[2])
        if wanted and ratio is not None and ratio < wanted:
            found.append(f"{name}: expected at least {wanted:g} times its goodput, got {ratio:g}")
    return found


def table(result: Mapping[str, Any]) -> str:
    """The result for a terminal."""
    width = max(len(title(row)) for row in result["servers"])
    lines = [
        f"{'':<{width}} {'goodput/s':>10} {'p50':>8} {'p95':>8} {'p99':>8} {'SLO at 150 %':>13} {'MiB':>8}"
    ]
    for row in result["servers"]:
        latency, kept = row["latency_ms"] or {}, row["slo_attained_at_150"]
        cells = [
            f"{latency[name]['median']:8.1f}" if latency else f"{'-':>8}" for name in ("p50", "p95", "p99")
        ]
        attained = f"{kept['median']:13.1%}" if kept else f"{'-':>13}"
        lines.append(
            f"{title(row):<{width}} {row['goodput_hz']['median']:10.2f} {' '.join(cells)} {attained} "
            f"{row['memory_mib'].get('pss', 0.0):8.0f}"
        )
    return "\n".join(lines)
