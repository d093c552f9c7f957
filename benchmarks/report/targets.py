"""What the server is held to, and what the results say of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.report.peers import Server, innocent_harmed, servers
from benchmarks.report.results import NOT_MEASURED, Results, digits, middle

OVERLOAD = 1.5


@dataclass(frozen=True)
class Verdict:
    """met: None where nothing was measured, or where there is nothing to be held to."""

    target: str
    measured: str = NOT_MEASURED
    met: bool | None = None


def verdicts(results: Results) -> list[Verdict]:
    """Every target, measured or not, in the order in which a reader asks."""
    return [verdict for judge in JUDGES for verdict in judge(results)]


def _floor(results: Results) -> list[Verdict]:
    throughput = "throughput at saturation at least 0.90 of the floor (same engines, no server)"
    latency = "one request adds at most 5 ms or 5 % to the floor's latency"
    found = results.last("floor")
    if found is None:
        return [Verdict(throughput), Verdict(latency)]
    served, alone = (middle(found.figure(f"lone_{name}_ms")) for name in ("served", "floor"))
    added = None if served is None or alone is None else served - alone
    allowed = max(5.0, 0.05 * (alone or 0.0))
    text = NOT_MEASURED if added is None else f"{digits(added)} ms on {digits(alone or 0.0)} ms"
    return [
        _at_least(throughput, found.figure("efficiency"), 0.90),
        Verdict(latency, text, None if added is None else added <= allowed),
    ]


def _peers(results: Results) -> list[Verdict]:
    found = results.last("peers")
    rivals = servers(found) if found else []
    ours = next((middle(one.goodput_hz) for one in rivals if one.is_ours), None)
    others = [one for one in rivals if not one.is_ours]
    same = _best([one for one in others if one.engine != "torch"])
    plain = _best([one for one in others if one.engine == "torch" and one.name.lower().startswith("fastapi")])
    return [
        _at_least("goodput at least 1.5 times the best peer with the same engines", _ratio(ours, same), 1.5),
        _at_least("goodput at least 3 times FastAPI + torch", _ratio(ours, plain), 3.0),
    ]


def _best(rivals: list[Server]) -> float | None:
    return max((rate for one in rivals if (rate := middle(one.goodput_hz)) is not None), default=None)


def _ratio(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None


def _overload(results: Results) -> list[Verdict]:
    goodput = "at 150 % load, goodput at least 0.9 of its peak"
    told = "at 150 % load, every rejected request is told so within 50 ms"
    found = results.last("curve")
    points = list(found.figure("points") or ()) if found else []
    over = next((one for one in points if one.get("share") == OVERLOAD), None)
    if over is None:
        return [Verdict(goodput), Verdict(told)]
    rates = [rate for one in points if (rate := middle(one.get("goodput_hz"))) is not None]
    kept = _ratio(middle(over.get("goodput_hz")), max(rates, default=None))
    slowest, rejected = over.get("slowest_rejection_ms"), over.get("rejected", 0)
    if slowest is None:
        return [_at_least(goodput, kept, 0.9), Verdict(told, "nobody was rejected", True)]
    text = f"{rejected} rejected, the slowest within {digits(slowest)} ms"
    return [_at_least(goodput, kept, 0.9), Verdict(told, text, slowest < 50.0)]


def _absent(results: Results) -> list[Verdict]:
    branch = "requests with one modality: at least 0.85 of what its branch reaches alone"
    batch = "mixed traffic: at least 0.9 of the mean batch of uniform traffic"
    found = results.last("absent")
    if found is None:
        return [Verdict(branch), Verdict(batch)]
    modalities = found.figure("modalities") or {}
    known = {
        name: ratio for name, one in modalities.items() if (ratio := middle(one.get("ratio"))) is not None
    }
    text = ", ".join(f"{name} {ratio:.2f}" for name, ratio in known.items()) or NOT_MEASURED
    met = min(known.values()) >= 0.85 if known else None
    return [Verdict(branch, text, met), _at_least(batch, found.figure("batches", "ratio"), 0.9)]


def _corrupt(results: Results) -> list[Verdict]:
    spared = "1 % corrupt inputs: no innocent request harmed"
    goodput = "1 % corrupt inputs: goodput at least 0.97 of clean"
    found = results.last("corrupt")
    harmed = innocent_harmed(found)
    if found is None or harmed is None:
        return [Verdict(spared), Verdict(goodput)]
    whole = found.figure("harm", "innocent")
    text = f"{harmed} of {whole}" if whole else str(harmed)
    return [Verdict(spared, text, harmed == 0), _at_least(goodput, found.figure("ratio"), 0.97)]


def _at_least(target: str, value: Any, bound: float) -> Verdict:
    number = middle(value)
    return Verdict(target) if number is None else Verdict(target, f"{number:.2f}", number >= bound)


JUDGES: tuple[Callable[[Results], list[Verdict]], ...] = (_floor, _peers, _overload, _absent, _corrupt)
