"""Goodput of every side in one run, side after side in each round, so that noise falls on all alike.

Before that every peer is tried with one worker that has all cores and with a worker per core; it is measured
with the one that does more when everything is there at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

import serving
from benchmarks import coldstart, curve, goodput, processor, verified
from benchmarks.peers import environments
from benchmarks.peers.rounds import SHARES, Measured, Round, restored
from benchmarks.peers.sides import OURS, Question, Side
from benchmarks.verified import Subject
from serving.processes import belonging

AT_ONCE = 96  # twelve full batches: no layout idles long at either end
WANTED = {
    "same-engines": 1.5,
    "FastAPI, torch": 3.0,
}  # our goodput against the best with our engines, and that


@dataclass(frozen=True)
class Plan:
    """How a round measures, and how many each side is to have; strict: void ones do not count."""

    search: goodput.Plan
    curve: curve.Plan
    layouts: Sequence[tuple[int, int]]
    rounds: int = 5
    strict: bool = True


def plan(quick: bool, seed: int, rounds: int | None = None, point_s: float | None = None) -> Plan:
    """The plan of a quotable figure, or of a run that proves the logic."""
    cores = len(os.sched_getaffinity(0))
    layouts = [(1, cores)] if quick else list(dict.fromkeys([(1, cores), (cores, 1)]))
    times: dict[str, Any] = {"seed": seed} | ({} if point_s is None else {"point_s": point_s})
    search = goodput.Plan(**(goodput.QUICK if quick else {}) | times)
    loads = curve.Plan(**(curve.QUICK if quick else {}) | times)
    count = rounds or (1 if quick else 5)
    return Plan(replace(search, repeats=1), replace(loads, repeats=1), layouts, count, strict=not quick)


Up = Callable[[], AbstractContextManager[tuple[Subject, list[int]]]]
FAILURES = (OSError, RuntimeError, ValueError)  # of a peer: told in the result, and the others go on


def measure(
    sides: Sequence[Side],
    question: Question,
    chosen: Plan,
    repository: Path,
    folder: Path,
    keep: Callable[[dict[str, Any]], object] = lambda result: None,
    earlier: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Every side that can be measured and our own server; `keep` gets what is known after each turn.

    earlier: `servers` of a result with the same plan, whose rounds count; the sides go on from there
    """
    found = {OURS: Measured({"name": OURS, "engine": ""})}
    found |= {title(row): restored(row) for row in earlier}
    ups: dict[str, Up] = {OURS: partial(ours, question, repository)}
    failures: list[str] = []
    for side in tqdm(sides, desc="layouts", unit="side", file=sys.stderr):
        try:
            own = environments.made(side.peer, folder)
            if side.name not in found:
                found[side.name] = Measured(_tried(side, question, chosen.layouts, own, folder))
        except FAILURES as error:
            failures.append(f"{side.name}: not measured: {error}")
            continue
        ups[side.name] = partial(side.up, question, found[side.name].layout, own, folder)
    missing = sum(max(0, chosen.rounds - len(one.rounds)) for one in found.values())
    with tqdm(total=missing, desc="peers", unit="turn", file=sys.stderr) as bar:
        for number in range(chosen.rounds):
            for name, up in ups.items():
                if len(found[name].rounds) > number:
                    continue
                try:
                    with up() as (subject, pids):
                        one = _round(subject, pids, chosen, number, found[name].near_hz)
                        found[name].memory = coldstart.memory(pids)
                    found[name].add(one, even_void=not chosen.strict)
                except FAILURES as error:
                    failures.append(f"{name}: round {number + 1} failed: {error}")
                bar.update()
                keep(_result(found, question, chosen, failures))
    return _result(found, question, chosen, failures)


def _result(
    found: Mapping[str, Measured], question: Question, chosen: Plan, failures: Sequence[str]
) -> dict[str, Any]:
    rows = [one.row() for one in found.values() if one.rounds]
    return {
        "slo_ms": question.workload.slo_ms,
        "slo_reason": question.workload.why,
        "shared_packages": list(environments.shared_versions()),
        "plan": asdict(chosen),
        "servers": rows,
        "ratios": ratios(rows),
        "void": any(row["void"] for row in rows),
        "failures": list(failures),
        "lacking": {
            name: chosen.rounds - len(one.rounds)
            for name, one in found.items()
            if len(one.rounds) < chosen.rounds
        },
    }


@contextmanager
def ours(question: Question, repository: Path) -> Iterator[tuple[Subject, list[int]]]:
    """Our own server, asked over gRPC as its clients ask."""
    with serving.running([question.workload.pipeline], repository) as address:
        subject = verified.subject(address.grpc, question.workload, question.payloads)
        yield subject, [*belonging(address.state().shm_prefix), address.state().supervisor_pid]


def _tried(
    side: Side, question: Question, layouts: Sequence[tuple[int, int]], programs: Path, folder: Path
) -> dict[str, Any]:
    """Facts of a side, among them the layout that does most when everything is there at once.

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
    return {
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


def _round(subject: Subject, pids: list[int], chosen: Plan, number: int, near_hz: float) -> Round:
    """All at once, one search, and the two loads that the table quotes, relative to what the search found."""
    before_s = processor.taken_s(pids)
    at_once_hz = goodput.capacity(subject, AT_ONCE)
    processor_ms = (processor.taken_s(pids) - before_s) / AT_ONCE * 1e3
    search = replace(chosen.search, seed=chosen.search.seed + 7919 * number)
    found = Round(at_once_hz, processor_ms, goodput.measure(subject, search, near_hz=near_hz))
    if not found.goodput_hz or (found.void and chosen.strict):
        return found
    loads = replace(chosen.curve, seed=chosen.curve.seed + 7919 * number)
    return replace(found, loads=curve.measure(subject, found.goodput_hz, loads, SHARES))


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
    found: list[str] = list(result["failures"])
    found += [
        f"{name}: {count} of {result['plan']['rounds']} rounds are missing or void; --resume makes them up"
        for name, count in result["lacking"].items()
        if not any(failure.startswith(f"{name}: ") for failure in found)
    ]
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
