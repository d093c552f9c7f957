"""The servers side by side: ours from its own files, the peers from theirs, one row each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.report.results import NOT_MEASURED, Result, Results, digits, middle, said

OURS = "crossfuse"
DASH = "—"
COLUMNS = (
    "Server",
    "goodput@SLO, Hz",
    "p50 / p95 / p99 at 80 %, ms",
    "SLO attained at 150 %",
    "mean batch, mixed",
    "innocent failed at 1 % corrupt",
    "swap: errors / mixed / worst ms",
)


@dataclass(frozen=True)
class Server:
    """One row; None where nothing was measured. version to memory_mib: how it was run, for those who doubt

    at_once_hz, processor_ms: answers a second when all is there at once, and what each took of processors
    """

    name: str
    engine: str = ""
    goodput_hz: Any = None
    latency_ms: Mapping[str, Any] | None = None
    slo_attained_at_150: Any = None
    mean_batch_mixed: Any = None
    innocent_failed: Any = None
    swap: str | None = None
    version: str = ""
    protocol: str = ""
    batching: str = ""
    workers: int | None = None
    threads: int | None = None
    at_once_hz: Any = None
    processor_ms: Any = None
    memory_mib: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        """Whether it is the server of this repository."""
        return self.name == OURS

    @property
    def title(self) -> str:
        """Name and engine."""
        return f"{self.name}, {self.engine.replace('-', ' ')}" if self.engine else self.name


def servers(found: Result) -> list[Server]:
    """The rows of a file of `peers`, ours first, then by goodput."""
    known = Server.__dataclass_fields__
    rows = [
        Server(**{name: value for name, value in one.items() if name in known})
        for one in found.figure("servers") or ()
    ]
    return sorted(rows, key=lambda one: (not one.is_ours, -(middle(one.goodput_hz) or 0.0)))


def compared(results: Results) -> list[Server]:
    """Ours, completed from what was measured of it alone, and every peer.

    The goodput of ours is that of the comparison where there is one: a ratio is good within one run only.
    """
    found = results.last("peers")
    rows = servers(found) if found else []
    mine = next((one for one in rows if one.is_ours), Server(OURS))
    return [_completed(mine, results), *(one for one in rows if not one.is_ours)]


def _completed(mine: Server, results: Results) -> Server:
    curve, goodput, absent = results.last("curve"), results.last("goodput"), results.last("absent")
    corrupt = results.last("corrupt")
    at_80, at_150 = (_point(curve, share) for share in (0.8, 1.5))
    alone = {
        "goodput_hz": goodput.figure("goodput_hz") if goodput else None,
        "latency_ms": at_80.get("latency_ms"),
        "slo_attained_at_150": at_150.get("slo_attained"),
        "mean_batch_mixed": absent.figure("batches", "mean", "mixed") if absent else None,
        "innocent_failed": innocent_harmed(corrupt),
        "swap": _swap(results.last("swap")),
    }
    given = {name: getattr(mine, name) for name in alone}
    chosen: dict[str, Any] = {name: alone[name] if given[name] is None else given[name] for name in alone}
    return replace(mine, **chosen)


def _point(curve: Result | None, share: float) -> Mapping[str, Any]:
    points = (curve.figure("points") if curve else None) or ()
    return next((one for one in points if one.get("share") == share), {})


def innocent_harmed(corrupt: Result | None) -> int | None:
    """Intact requests that failed or were answered wrongly beside corrupt ones; None if not measured."""
    harm = corrupt.figure("harm") if corrupt else None
    return None if not harm else int(harm.get("innocent_failed", 0)) + int(harm.get("innocent_wrong", 0))


def _swap(found: Result | None) -> str | None:
    if found is None:
        return None
    worst = middle(found.figure("changes", "latency_ms", "max"))
    errors, mixtures = found.figure("errors"), found.figure("mixtures")
    return f"{errors} / {mixtures} / {digits(worst) if worst is not None else NOT_MEASURED}"


def cells(one: Server) -> tuple[str, ...]:
    """A row of COLUMNS as text; a dash stands for what was not measured."""
    latency = one.latency_ms or {}
    times = [said(middle(latency.get(name))) for name in ("p50", "p95", "p99")]
    attained = middle(one.slo_attained_at_150)
    row = (
        one.title,
        said(one.goodput_hz),
        NOT_MEASURED if NOT_MEASURED in times else " / ".join(times),
        NOT_MEASURED if attained is None else f"{attained:.1%}",
        said(one.mean_batch_mixed),
        said(one.innocent_failed),
        one.swap or NOT_MEASURED,
    )
    return tuple(DASH if text == NOT_MEASURED else text for text in row)


RUN_COLUMNS = (
    "Server",
    "version",
    "asked by",
    "batching",
    "workers x threads",
    "all at once, Hz",
    "processor time each, ms",
    "memory, MiB",
)


def how_run(one: Server) -> tuple[str, ...]:
    """A row of RUN_COLUMNS as text."""
    layout = f"{one.workers} x {one.threads}" if one.workers else ""
    row = (
        one.version,
        one.protocol,
        one.batching,
        layout,
        said(one.at_once_hz),
        said(one.processor_ms),
        said(one.memory_mib.get("pss")),
    )
    return (one.title, *(DASH if text in ("", NOT_MEASURED) else text for text in row))
