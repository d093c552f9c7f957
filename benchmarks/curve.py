"""The load curve: what becomes of answers as the offered rate passes the goodput rate."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tqdm import tqdm

from benchmarks.arrivals import poisson
from benchmarks.goodput import spread
from benchmarks.verified import Subject, Verdict

SHARES = (0.5, 0.8, 0.95, 1.1, 1.5)
OVERLOAD = 1.5
LEAST_KEPT = 0.9  # of the peak goodput, under overload
MOST_TOLD_MS = 50.0  # until a rejected request knows


@dataclass(frozen=True)
class Plan:
    """Seconds at each rate, and how often each is run: the rates in turn, so that what the machine does
    meanwhile falls on all alike."""

    point_s: float = 60.0
    repeats: int = 5
    attempts: int = 3
    seed: int = 7


QUICK: dict[str, Any] = {"point_s": 1.5, "repeats": 1, "attempts": 1}


def measure(subject: Subject, rate_hz: float, plan: Plan, shares: Sequence[float] = SHARES) -> dict[str, Any]:
    """Offer each share of `rate_hz`, which is the goodput rate."""
    runs: dict[float, list[dict[str, Any]]] = {share: [] for share in shares}
    with tqdm(total=plan.repeats * len(shares), desc="curve", unit="point", file=sys.stderr) as bar:
        for repeat in range(plan.repeats):
            for place, share in enumerate(shares):
                seed = plan.seed + 1000 * repeat + 10 * place
                verdict = _offered(subject, share * rate_hz, plan, seed)
                runs[share].append(verdict.figures(plan.point_s))
                bar.update()
    rows = [row(share, found) for share, found in runs.items()]
    return {
        "plan": asdict(plan),
        "goodput_rate_hz": rate_hz,
        "slo_ms": subject.workload.slo_ms,
        "points": rows,
        "overload": overload(rows),
        "void": any(one["void"] for one in rows),
    }


def _offered(subject: Subject, rate_hz: float, plan: Plan, seed: int) -> Verdict:
    """One run, again while the generator was late."""
    for attempt in range(plan.attempts):
        schedule = poisson(rate_hz, plan.point_s, len(subject.messages), seed + attempt)
        verdict = subject.replay(schedule, patient=False)
        if not verdict.void:
            break
    return verdict


def row(share: float, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One point of the curve: median [least, most] of its runs."""
    latencies = [one["latency_ms"] for one in runs if one["latency_ms"]]
    told = [one["rejected_after_ms"]["max"] for one in runs if one["rejected_after_ms"]]
    return {
        "share": share,
        "offered_hz": spread([one["offered_hz"] for one in runs]),
        "goodput_hz": spread([one["goodput_hz"] for one in runs]),
        "slo_attained": spread([one["slo_attained"] or 0.0 for one in runs]),
        "latency_ms": {
            name: spread([one[name] for one in latencies])
            for name in ("p50", "p95", "p99", "max")
            if latencies
        },
        "rejected": sum(one["rejected"] for one in runs),
        "failed": sum(one["failed"] for one in runs),
        "wrong": sum(one["wrong"] for one in runs),
        "slowest_rejection_ms": max(told, default=None),
        "void": any(one["void"] for one in runs),
        "runs": list(runs),
    }


def overload(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What is left of the peak goodput at the highest share, and how fast a rejected request was told."""
    peak = max(one["goodput_hz"]["median"] for one in rows)
    last = max(rows, key=lambda one: one["share"])
    kept = last["goodput_hz"]["median"] / peak if peak else 0.0
    told = last["slowest_rejection_ms"]
    return {
        "share": last["share"],
        "goodput_kept": round(kept, 4),
        "slowest_rejection_ms": told,
        "reached": kept >= LEAST_KEPT and (told is None or told < MOST_TOLD_MS),
    }


def table(result: dict[str, Any]) -> str:
    """The result for a terminal; medians."""
    names = ("share", "offered", "p50", "p95", "p99", "max", "in SLO", "goodput", "rejected")
    head = " ".join(f"{name:>8}" for name in names)
    rows = [head]
    for one in result["points"]:
        ms = {name: found["median"] for name, found in one["latency_ms"].items()}
        cells = " ".join(f"{ms.get(name, float('nan')):8.1f}" for name in ("p50", "p95", "p99", "max"))
        rows.append(
            f"{one['share']:8.0%} {one['offered_hz']['median']:8.2f} {cells} "
            f"{one['slo_attained']['median']:8.1%} {one['goodput_hz']['median']:8.2f} {one['rejected']:8d}"
        )
    kept = result["overload"]
    told = kept["slowest_rejection_ms"]
    rejections = "nobody was rejected" if told is None else f"the slowest rejection took {told:.0f} ms"
    return "\n".join(
        [*rows, f"at {kept['share']:.0%}: {kept['goodput_kept']:.0%} of the peak goodput; {rejections}"]
    )
