"""One corrupt request in a hundred: is any other harmed by it, and what does it cost all of them?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks import match
from benchmarks.arrivals import Schedule, poisson
from benchmarks.goodput import said, spread
from benchmarks.match import Plan
from benchmarks.verified import Verdict, subject
from benchmarks.workloads import Workload

SHARE = 0.01
LEAST_KEPT = 0.97
STEADY = 0.6  # of the least under overload: what fails there fails for another reason than load
LEAST_CORRUPT = 20  # that the run in which harm is counted should meet
LEAST_HZ = 1.0  # of a server that answered nothing in time
HEADER = 64  # bytes that stay, so that the gate lets the file pass and a decoder meets the rest


def cut_off(data: bytes, draw: np.random.Generator) -> bytes:
    """Its first half: an upload that broke off."""
    return data[: max(1, len(data) // 2)]


def garbled(data: bytes, draw: np.random.Generator) -> bytes:
    """Noise behind the header."""
    return data[:HEADER] + draw.bytes(max(1, len(data) - HEADER))


def foreign(data: bytes, draw: np.random.Generator) -> bytes:
    """No file of any kind: refused at the gate."""
    return draw.bytes(max(2, len(data) // 8))


KINDS = (cut_off, garbled, foreign)


def corrupted(payloads: Sequence[Mapping[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Each request with one of its payloads spoiled, every kind and every payload in turn; words stay."""
    draw = np.random.default_rng(seed)
    found = []
    for number, each in enumerate(payloads):
        files = [name for name, value in each.items() if not isinstance(value, str)]
        name = files[number % len(files)]
        spoil = KINDS[number // len(files) % len(KINDS)]
        value = each[name]
        spoiled = [spoil(value[0], draw), *value[1:]] if isinstance(value, list) else spoil(value, draw)
        found.append({**each, name: spoiled})
    return found


def mixed(
    rate_hz: float, duration_s: float, seed: int, intact: int, corrupt: int, share: float = SHARE
) -> Schedule:
    """Poisson arrivals of which a share is corrupt: items from `intact` on."""
    schedule = poisson(rate_hz, duration_s, intact, seed)
    draw = np.random.default_rng([seed, 1])
    is_corrupt = draw.random(len(schedule)) < share
    return Schedule(
        schedule.due_s,
        np.where(is_corrupt, intact + draw.integers(corrupt, size=len(schedule)), schedule.item),
    )


def harm(verdict: Verdict, intact: int) -> dict[str, int]:
    """What became of the requests that nothing was wrong with, and of the others."""
    innocent = verdict.recording.item < intact
    return {
        "innocent": int(innocent.sum()),
        "innocent_failed": int((innocent & verdict.failed).sum()),
        "innocent_wrong": int((innocent & verdict.wrong).sum()),
        "corrupt": int((~innocent).sum()),
        "corrupt_unlike_alone": int((~innocent & (verdict.failed | verdict.wrong)).sum()),
    }


def measure(
    url: str, workload: Workload, payloads: Sequence[Mapping[str, Any]], plan: Plan, share: float = SHARE
) -> dict[str, Any]:
    """Good answers under overload with and without corrupt requests, in turn; then every answer at a rate
    that is no strain, from callers who wait."""
    clean = subject(url, workload, payloads)
    dirty = subject(url, workload, [*payloads, *corrupted([*payloads] * 3, plan.seed)], refusals=True)
    intact = len(payloads)
    corrupt = len(dirty.messages) - intact

    def arrivals(rate_hz: float, duration_s: float, seed: int) -> Schedule:
        return mixed(rate_hz, duration_s, seed, intact, corrupt, share)

    found = match.play(clean, dirty, plan, arrivals)
    steady_hz = STEADY * min(min(pair) for pair in found.pairs) or LEAST_HZ
    steady_s = max(plan.repeats * plan.point_s, LEAST_CORRUPT / (share * steady_hz))
    verdict = dirty.replay(arrivals(steady_hz, steady_s, plan.seed))
    result = {
        "plan": asdict(plan),
        "share_corrupt": share,
        "kinds": [kind.__name__ for kind in KINDS],
        "pairs": found.pairs,
        "goodput_hz": {
            "clean": spread([clean_hz for clean_hz, _ in found.pairs]),
            "corrupt": spread([corrupt_hz for _, corrupt_hz in found.pairs]),
        },
        "ratio": spread(found.ratios),
        "steady_hz": round(steady_hz, 3),
        "harm": harm(verdict, intact),
        "void": found.void or verdict.void,
    }
    return result | {"goals": goals(result)}


def goals(result: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be reached, and whether it is."""
    harmed = result["harm"]["innocent_failed"] + result["harm"]["innocent_wrong"]
    kept = result["ratio"]["median"]
    return {
        "harmed": {"most": 0, "found": harmed, "reached": harmed == 0},
        "goodput": {"least": LEAST_KEPT, "found": kept, "reached": kept >= LEAST_KEPT},
    }


def faults(result: Mapping[str, Any]) -> list[str]:
    """A sentence when a request suffered for another's fault."""
    harmed = result["goals"]["harmed"]["found"]
    return [f"innocent requests: expected none harmed, got {harmed}: {result['harm']}"] if harmed else []


def table(result: Mapping[str, Any]) -> str:
    """The result for a terminal."""
    harmed, rates = result["harm"], result["goodput_hz"]
    return "\n".join(
        [
            f"{harmed['corrupt']} corrupt among {harmed['innocent']} intact requests at "
            f"{result['steady_hz']:g} a second: {harmed['innocent_failed']} of the intact failed, "
            f"{harmed['innocent_wrong']} were wrong",
            f"good answers under overload: clean {said(rates['clean'], '/s')}, with "
            f"{result['share_corrupt']:.0%} corrupt {said(rates['corrupt'], '/s')}: ratio "
            f"{said(result['ratio'])}",
        ]
    )
