"""The section about swapping a set of models under traffic; with its recording beside it, every request."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.report import charts
from benchmarks.report.html import figure, missing, note, section, table
from benchmarks.report.results import Result, Results, said

TONES = {"old set": "blue", "new set": "orange", "a mixture": "red"}
MOST_DOTS = 4000


def swap(results: Results) -> str:
    """Flips and rollbacks under traffic."""
    found = results.last("swap")
    if found is None:
        return missing("Changing a set of models under traffic", "swap --naive")
    parts = [_dots(found), table(("", "measured"), _rows(found))]
    return section("Changing a set of models under traffic", *parts, of=[found])


def _rows(found: Result) -> list[tuple[str, str]]:
    rows = [
        ("requests", said(found.figure("requests"))),
        ("errors", said(found.figure("errors"))),
        ("answers from old and new engines mixed", said(found.figure("mixtures"))),
        ("steady p99", said(found.figure("steady", "latency_ms", "p99"), "ms")),
        ("worst latency near a change", said(found.figure("changes", "latency_ms", "max"), "ms")),
        ("a flip, median", said(found.figure("changes", "flip", "whole_ms", "median"), "ms")),
        ("a rollback, median", said(found.figure("changes", "rollback", "whole_ms", "median"), "ms")),
    ]
    share = found.figure("one_by_one", "mixed_share_in_windows")
    if share is not None:
        rows.append(("mixed answers while the same models are reloaded one by one", f"{share:.0%}"))
    return rows


def _dots(found: Result) -> str:
    recorded = found.path.with_suffix(".npz")
    if not recorded.is_file():
        return note(f"Every request would be drawn if {recorded.name} lay beside {found.path.name}.")
    with np.load(recorded) as stored:
        due_s, latency_s, labels = stored["due_s"], stored["latency_s"], stored["labels"].astype(str)
    step = max(1, len(due_s) // MOST_DOTS)
    groups: dict[str, Sequence[tuple[float, float]]] = {}
    for name, chosen in (
        ("old set", labels == "old"),
        ("new set", labels == "new"),
        ("a mixture", np.char.startswith(labels, "mixture") | (labels == "unknown")),
    ):
        rows = np.flatnonzero(chosen & np.isfinite(latency_s))
        rows = rows if name == "a mixture" else rows[::step]
        if len(rows):
            groups[name] = [(float(due_s[row]), float(latency_s[row]) * 1e3) for row in rows]
    if not groups:
        return note("No request was answered.")
    chart = charts.dots(groups, TONES, ("seconds", "latency from when due, ms"), "latency of every request")
    return figure(chart, "Every request, coloured by the set of engines that answered it.")
