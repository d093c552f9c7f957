"""The whole page: one file, nothing loaded from anywhere, light and dark by the reader's own setting."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from benchmarks.report.html import table
from benchmarks.report.peers import compared
from benchmarks.report.results import NOT_MEASURED, Result, Results, digits, middle, spread
from benchmarks.report.sections import SECTIONS
from benchmarks.report.targets import verdicts

STYLE = Path(__file__).with_name("page.css")
TITLE = "crossfuse, measured"


def page(results: Results) -> str:
    """The HTML. raises: ValueError when there is no result at all"""
    if not results.files:
        raise ValueError(
            "report: expected at least one result of `python -m benchmarks`, found none; measure first"
        )
    body = "".join(part(results) for part in SECTIONS)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>{TITLE}</title><style>{STYLE.read_text(encoding='utf-8')}</style></head><body><main>"
        f"<h1>{TITLE}</h1>{_lead(results.files)}{_tiles(results)}{body}{_provenance(results.files)}"
        "</main></body></html>\n"
    )


def circumstances(files: Sequence[Result]) -> str:
    """On what and when: machine, commits, dates of all files."""
    newest = max(files, key=lambda one: one.facts["time"])
    machine = newest.facts["machine"]
    commits = sorted(set().union(*(one.commits for one in files)))
    days = sorted({str(one.facts["time"])[:10] for one in files})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    shown = ", ".join(commits[:3]) + (f" and {len(commits) - 3} more" if len(commits) > 3 else "")
    return f"{machine['processor']}, {machine['cores']} cores; {when}; commit {shown}"


def _lead(files: Sequence[Result]) -> str:
    return (
        f'<p class="lead">{escape(circumstances(files))}. Figures of a small, shared machine: read the '
        "ratios, each taken in one run, and not the capacity.</p>"
    )


def _tiles(results: Results) -> str:
    goodput, floor, swap = results.last("goodput"), results.last("floor"), results.last("swap")
    ours = compared(results)[0]
    slo = middle(goodput.figure("slo_ms")) if goodput else None
    known = [one for one in verdicts(results) if one.met is not None]
    efficiency = middle(floor.figure("efficiency")) if floor else None
    mixed = None if swap is None else f"{swap.figure('errors')} / {swap.figure('mixtures')}"
    tiles = [
        (_rate(ours.goodput_hz), _within(slo, ours.goodput_hz)),
        (
            NOT_MEASURED if efficiency is None else f"{efficiency:.0%}",
            "of what the machine can do without a server",
        ),
        (mixed or NOT_MEASURED, "errors / mixed answers while models are changed"),
        (f"{sum(bool(one.met) for one in known)} of {len(known)}", "targets met, of those measured"),
    ]
    inside = [
        f'<div class="tile{" missing" * (value == NOT_MEASURED)}"><b>{escape(value)}</b>'
        f"<span>{escape(name)}</span></div>"
        for value, name in tiles
    ]
    return f'<div class="tiles">{"".join(inside)}</div>'


def _rate(value: object) -> str:
    centre = middle(value)
    return NOT_MEASURED if centre is None else f"{digits(centre)} Hz"


def _within(slo_ms: float | None, value: object) -> str:
    ends = spread(value)
    around = f", repeats {digits(ends[0])} to {digits(ends[1])}" if ends else ""
    return f"goodput within {digits(slo_ms)} ms{around}" if slo_ms else f"goodput at the SLO{around}"


def _provenance(files: Sequence[Result]) -> str:
    rows = [
        (
            one.path.name,
            str(one.facts["command"]),
            ", ".join(sorted(one.commits)),
            str(one.facts["time"])[:16].replace("T", " "),
            str(one.facts.get("seed", "")),
            "; ".join(one.doubts()),
        )
        for one in sorted(files, key=lambda one: (one.verb, one.pipeline, one.facts["time"]))
    ]
    versions = max(files, key=lambda one: one.facts["time"]).facts.get("versions", {})
    told = ", ".join(f"{name} {number}" for name, number in versions.items())
    heads = ("file", "command", "commit", "when, UTC", "seed", "doubts")
    return (
        f"<section><h2>How to get the same</h2>{table(heads, rows)}</section><footer>{escape(told)}</footer>"
    )
