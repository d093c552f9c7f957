"""Drawings of a check as inline SVG; their colours are the page's, so that light and dark both read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SIDE = 340  # px, of a square plot
MARGIN = 46
CELL, LABEL = 26, 226  # px, of a confusion matrix: a count; the longest class name


def latency(live_ms: Sequence[float], new_ms: Sequence[float], names: Sequence[str]) -> str:
    """One dot per request: milliseconds of the live set to the right, of the new one up."""
    largest = max(*live_ms, *new_ms)
    step = next(
        step for step in (5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10**9) if largest / step <= 5
    )
    top = step * (int(largest / step) + 1)

    def x(ms: float) -> float:
        return MARGIN + ms / top * SIDE

    def y(ms: float) -> float:
        return 8 + SIDE - ms / top * SIDE

    parts = [f'<line class="even" x1="{x(0)}" y1="{y(0)}" x2="{x(top)}" y2="{y(top)}"/>']
    for tick in range(0, top + 1, step):
        parts += [
            f'<line class="grid" x1="{x(tick):.1f}" y1="{y(0)}" x2="{x(tick):.1f}" y2="{y(top)}"/>',
            f'<line class="grid" x1="{x(0)}" y1="{y(tick):.1f}" x2="{x(top)}" y2="{y(tick):.1f}"/>',
            f'<text x="{x(tick):.1f}" y="{y(0) + 18}" text-anchor="middle">{tick}</text>',
            f'<text x="{x(0) - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick}</text>',
        ]
    for old, new, name in zip(live_ms, new_ms, names, strict=True):
        told = f"{escape(name)}: live {old:.1f} ms, new {new:.1f} ms"
        parts.append(
            f'<circle class="dot" cx="{x(old):.1f}" cy="{y(new):.1f}" r="4"><title>{told}</title></circle>'
        )
    parts += [
        f'<text class="hint" x="{x(0) + 8}" y="{y(top) + 16}">slower</text>',
        f'<text class="hint" x="{x(top) - 8}" y="{y(0) - 8}" text-anchor="end">faster</text>',
        f'<text x="{x(top / 2)}" y="{y(0) + 36}" text-anchor="middle">live set, ms</text>',
        f'<text transform="translate(11 {y(top / 2)}) rotate(-90)" text-anchor="middle">new set, ms</text>',
    ]
    return _svg(SIDE + MARGIN + 14, SIDE + 54, "latency of the same requests, live and new", parts)


def agreement(
    known: Sequence[float], live: Sequence[float], new: Sequence[float], names: Sequence[str]
) -> str:
    """Known quality to the right, answered score up: a ring for the live set, a dot for the new one.

    Points of 100, more where a score is beyond; a score that is no number has no mark.
    """
    low, high = _span([*known, *live, *new])

    def x(value: float) -> float:
        return MARGIN + (value - low) / (high - low) * SIDE

    def y(value: float) -> float:
        return 8 + SIDE - (value - low) / (high - low) * SIDE

    parts = [f'<line class="even" x1="{x(low)}" y1="{y(low)}" x2="{x(high)}" y2="{y(high)}"/>']
    for step in range(6):
        tick = low + step * (high - low) / 5
        parts += [
            f'<line class="grid" x1="{x(tick):.1f}" y1="{y(low)}" x2="{x(tick):.1f}" y2="{y(high)}"/>',
            f'<line class="grid" x1="{x(low)}" y1="{y(tick):.1f}" x2="{x(high)}" y2="{y(tick):.1f}"/>',
            f'<text x="{x(tick):.1f}" y="{y(low) + 18}" text-anchor="middle">{tick:g}</text>',
            f'<text x="{x(low) - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>',
        ]
    for truth, old, came, name in zip(known, live, new, names, strict=True):
        told = f"<title>{escape(name)}: known {truth:.1f}, live {old:.1f}, new {came:.1f}</title>"
        for kind, score in (("ring", old), ("dot", came)):
            if math.isfinite(score):
                parts.append(
                    f'<circle class="{kind}" cx="{x(truth):.1f}" cy="{y(score):.1f}" r="4">{told}</circle>'
                )
    parts += [
        f'<text x="{x((low + high) / 2)}" y="{y(low) + 36}" text-anchor="middle">known quality</text>',
        f'<text transform="translate(11 {y((low + high) / 2)}) rotate(-90)" text-anchor="middle">'
        "score</text>",
    ]
    return _svg(SIDE + MARGIN + 14, SIDE + 54, "known quality and scores of both sets", parts)


def _span(values: Sequence[float]) -> tuple[float, float]:
    """0 to 100, wider in steps of 50 where something lies beyond."""
    finite = [value for value in values if math.isfinite(value)]
    return 50.0 * math.floor(min(0.0, *finite) / 50), 50.0 * math.ceil(max(100.0, *finite) / 50)


def confusion(live: np.ndarray, new: np.ndarray, class_names: Sequence[str]) -> str:
    """How often which class is answered: the new set's counts, coloured where the live set's are others.

    live, new: (classes, classes) counts, the true class in the row
    """
    cell, label = CELL, LABEL
    parts = []
    for row, name in enumerate(class_names):
        middle = row * cell + cell / 2 + 4
        parts += [
            f'<text x="{label - 8}" y="{middle}" text-anchor="end">{escape(_short(name))} '
            f'<tspan class="hint">{row}</tspan></text>',
            f'<text class="hint" x="{label + row * cell + cell / 2}" '
            f'y="{len(class_names) * cell + 16}" text-anchor="middle">{row}</text>',
        ]
        for column in range(len(class_names)):
            parts.append(_cell(label + column * cell, row * cell, cell, live[row, column], new[row, column]))
    width, height = label + len(class_names) * cell + 4, len(class_names) * cell + 38
    parts.append(
        f'<text x="{label + len(class_names) * cell / 2}" y="{height - 4}" text-anchor="middle">'
        "answered class (true class in the row)</text>"
    )
    return _svg(width, height, "confusion of the new set, changes coloured", parts)


def _cell(x: float, y: float, size: float, before: int, after: int) -> str:
    right = "right" if x - LABEL == y else "wrong"
    kind = "same" if before == after else (f"more {right}" if after > before else f"less {right}")
    text = str(after) if after or before else ""
    if before != after:
        text = f"{after}<tspan class='delta'>{after - before:+d}</tspan>"
    told = f"live {before}, new {after}"
    return (
        f'<g class="cell {kind}{" zero" if not (before or after) else ""}"><title>{told}</title>'
        f'<rect x="{x}" y="{y}" width="{size - 2}" height="{size - 2}" rx="3"/>'
        f'<text x="{x + size / 2 - 1}" y="{y + size / 2 + 4}" text-anchor="middle">{text}</text></g>'
    )


def bar(used: float, passed: bool) -> str:
    """How much of a budget is used; the tick is all of it."""
    width, full = 120, 96
    filled = min(max(used, 0.0) * full, width)
    kind = "good" if passed else "bad"
    return _svg(
        width,
        14,
        f"{used:.0%} of the budget",
        [
            f'<rect class="track" x="0" y="3" width="{width}" height="8" rx="4"/>',
            f'<rect class="{kind}" x="0" y="3" width="{filled:.1f}" height="8" rx="4"/>',
            f'<line class="tick" x1="{full}" y1="0" x2="{full}" y2="14"/>',
        ],
    )


def _short(name: str) -> str:
    return name.replace("_", " ").replace(" w ", " + ")


def _svg(width: float, height: float, what: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(what)}">{"".join(parts)}</svg>'
    )
