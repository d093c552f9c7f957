"""The picture of a swap: every request over time, coloured by the set of engines that answered it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.flips import Change
from benchmarks.one_by_one import Window
from benchmarks.palette import ALARM, FAINT, INK, LINE
from benchmarks.recording import FAILED, Recording
from benchmarks.swap import Outcome
from benchmarks.two_sets import NEW, OLD

COLOURS = {OLD: "#2f6db3", NEW: "#e08a1e"}
MIXED, BROKEN = ALARM, "#000000"
NAMES = {OLD: "answered by the old set", NEW: "answered by the new set"}
ZOOM_CHANGES = 6


def draw(outcome: Outcome, path: Path) -> Path:
    """Write the picture as PNG, 1440 pixels wide; with the naive way in a panel of its own if it was run."""
    rows = 2 if outcome.naive is None else 3
    figure = Figure(figsize=(12, 1.4 + 2.9 * rows), dpi=120, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, 1)
    _whole(panels[0], outcome)
    _zoom(panels[1], outcome)
    if outcome.naive is not None:
        _naive(panels[2], outcome, *outcome.naive)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white")
    return path


def _whole(axes: Axes, outcome: Outcome) -> None:
    result = outcome.result
    count = sum(result["changes"][verb]["count"] for verb in ("flip", "rollback"))
    for change in outcome.changes:
        axes.axvline(change.begin_s, color=LINE, linewidth=0.6, zorder=0)
    p99 = result["steady"]["latency_ms"]["p99"]
    axes.axhline(p99, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    axes.text(
        1, p99, f"steady p99, {p99:.0f} ms ", transform=axes.get_yaxis_transform(), ha="right", va="bottom",
        color=FAINT, fontsize=9,
    )  # fmt: skip
    _dots(axes, outcome.recorded, outcome.labels)
    axes.set_title(
        f"{count} flips and rollbacks of {len(result['changed_models'])} models under "
        f"{result['requests']} requests: {result['errors']} errors, {result['mixtures']} mixed answers",
        loc="left", fontsize=13, fontweight="bold", color=INK,
    )  # fmt: skip
    _finish(axes, "latency from when\nthe request was due, ms")
    axes.legend(loc="upper left", ncols=4, frameon=False, fontsize=9, handletextpad=0.2)


def _dots(axes: Axes, recorded: Recording, labels: NDArray[np.str_]) -> None:
    """A dot per answer, a cross per error."""
    latency_ms = recorded.latency_s * 1e3
    for name, colour in COLOURS.items():
        chosen = labels == name
        axes.scatter(
            recorded.due_s[chosen], latency_ms[chosen], s=9, color=colour, label=NAMES[name], zorder=2
        )
    mixed = ~np.isin(labels, [OLD, NEW, FAILED])
    if mixed.any():
        axes.scatter(
            recorded.due_s[mixed],
            latency_ms[mixed],
            s=16,
            color=MIXED,
            label="answered by a mixture",
            zorder=3,
        )
    failed = labels == FAILED
    if failed.any():
        axes.scatter(
            recorded.due_s[failed], np.nan_to_num(latency_ms[failed]), s=30, marker="x", color=BROKEN,
            label="error", zorder=3,
        )  # fmt: skip


def _zoom(axes: Axes, outcome: Outcome) -> None:
    """Some changes from close by: every request a line from when it was due to its answer."""
    recorded = outcome.recorded
    came_s = recorded.due_s + recorded.latency_s
    shown = _most_crossed(outcome.changes, recorded.due_s, came_s)
    begin_s, end_s = shown[0].begin_s - 0.35, shown[-1].end_s + 0.35
    inside = np.flatnonzero((came_s > begin_s) & (recorded.due_s < end_s))
    _spans(axes, recorded, outcome.labels, inside)
    top = max(4.0, 1.2 * len(inside))  # the upper sixth is for the labels
    for change in shown:
        axes.axvspan(change.begin_s, change.end_s, color="#eceff3", zorder=0)
        axes.axvline(change.end_s, color=FAINT, linewidth=0.8, zorder=1)
        axes.annotate(
            f"{change.verb}\n{change.control_ms:.0f} ms", (change.end_s, top), (3, -2),
            textcoords="offset points", fontsize=8, color=INK, va="top",
        )  # fmt: skip
    axes.set_xlim(begin_s, end_s)
    axes.set_ylim(-1, top)
    axes.set_yticks([])
    axes.set_title(
        "From close by: each line is a request, from when it was due to its answer; grey is the whole change",
        loc="left", fontsize=11, color=INK,
    )  # fmt: skip
    _finish(axes, "requests, in order")


def _most_crossed(
    changes: Sequence[Change], due_s: NDArray[np.float64], came_s: NDArray[np.float64]
) -> Sequence[Change]:
    """ZOOM_CHANGES changes of one block, the ones with requests under way at most of them."""
    crossed = [int(((due_s < change.end_s) & (came_s > change.begin_s)).sum()) for change in changes]
    starts = range(max(1, len(changes) - ZOOM_CHANGES + 1))
    runs = [range(start, min(start + ZOOM_CHANGES, len(changes))) for start in starts]
    spans_s = [changes[run[-1]].end_s - changes[run[0]].begin_s for run in runs]
    whole = [run for run, span_s in zip(runs, spans_s, strict=True) if span_s <= 1.5 * min(spans_s)]
    best = max(whole, key=lambda run: sum(min(2, crossed[index]) for index in run))
    return [changes[index] for index in best]


def _spans(axes: Axes, recorded: Recording, labels: NDArray[np.str_], chosen: NDArray[np.intp]) -> None:
    for row, index in enumerate(chosen):
        colour = COLOURS.get(str(labels[index]), BROKEN if labels[index] == FAILED else MIXED)
        due_s, latency_s = recorded.due_s[index], recorded.latency_s[index]
        axes.plot([due_s, due_s + latency_s], [row, row], color=colour, linewidth=3.2, solid_capstyle="butt")


def _naive(
    axes: Axes, outcome: Outcome, recorded: Recording, labels: NDArray[np.str_], windows: Sequence[Window]
) -> None:
    for window in windows:
        axes.axvspan(window.begin_s, window.end_s, color="#eceff3", zorder=0)
    _dots(axes, recorded, labels)
    result = outcome.result["one_by_one"]
    share = result["mixed_share_in_windows"] or 0.0
    axes.set_title(
        f"For comparison, the models reloaded one after another: {share:.0%} of the answers meanwhile "
        f"(grey, {result['window_s']['median']:.1f} s each) come from a mixture",
        loc="left", fontsize=11, color=INK,
    )  # fmt: skip
    _finish(axes, "latency from when\nthe request was due, ms")
    axes.legend(loc="upper left", ncols=4, frameon=False, fontsize=9, handletextpad=0.2)


def _finish(axes: Axes, vertical: str) -> None:
    axes.set_ylabel(vertical, color=INK, fontsize=9)
    axes.set_xlabel("seconds", color=INK, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)
    axes.tick_params(colors=FAINT, labelsize=9)
    if axes.get_yticks().size:
        axes.set_ylim(bottom=0, top=axes.get_ylim()[1] * 1.18)
        axes.margins(x=0.01)
