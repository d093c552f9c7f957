"""The evidence of the fusion, as a small labelled panel."""

from __future__ import annotations

from textwrap import fill
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from ._panels import EMPTY, FAINT, INK, PAPER, heading
from ._quality import Fusion, VideoQuality
from ._quality_panels import WEIGHT_COLOURS
from ._quality_report import column_labels, spelled, time_labels

CAPTION = (
    "The answer joins two views of the video: spatial, the detail in single frames, and temporal, what "
    "changes between them. This is how it weighed them:"
)
ROW_IN, LINE_IN, LETTER_IN = 0.42, 0.16, 0.082
TOP_IN = 1.3  # where the table begins, below the caption
SCALES = (0.25, 0.5, 1.0)  # a bar's full length: gates and shares on 1, attention over many frames on less
DIGITS_IN = 0.45  # room for a bar's value behind it
LIGHT_ABOVE = 0.55  # darker cells carry light digits


def draw_fusion(axes: Axes, clip: VideoQuality, width_in: float, height_in: float) -> None:
    """Name, caption, table; the axes count in inches from their upper left corner."""
    axes.set(xlim=(0, width_in), ylim=(height_in, 0), xticks=[], yticks=[])
    for edge in axes.spines.values():
        edge.set_visible(False)
    heading(axes, "Fusion", None)
    fusion, times = clip.fusion, time_labels([frame.time_s for frame in clip.frames])
    axes.text(0, 0.18, spelled(fusion.name), fontsize=13, color=INK, va="center", weight="bold")
    if not clip.usable:
        return
    weighed = fusion.weights.size > 0
    words = CAPTION if weighed else "This fusion joins its two views of the video without weighing them."
    axes.text(0, 0.42, fill(words, 42), fontsize=9, color=FAINT, va="top", linespacing=1.35)
    if weighed:
        draw_table(axes, fusion, times, width_in, height_in)


def draw_table(axes: Axes, fusion: Fusion, times: list[str], width_in: float, height_in: float) -> None:
    """A line for each column of the evidence: one row of it as bars, more of them as cells."""
    count, lines = fusion.weights.shape
    labels = [fill(spelled(label), 17) for label in fusion.columns or column_labels(lines, times)]
    left_in = 0.2 + LETTER_IN * max(len(part) for label in labels for part in label.split("\n"))
    cell_in = (width_in - left_in) / count
    heads = [
        fill(spelled(head), max(5, int(cell_in / LETTER_IN)), break_long_words=False) for head in fusion.rows
    ]
    top_in = TOP_IN + max((LINE_IN * (head.count("\n") + 1.5) for head in heads), default=0.0)
    line_in = min(ROW_IN, (height_in - top_in) / lines)
    style: dict[str, Any] = {"fontsize": 9.5, "color": INK, "linespacing": 1.0}
    for place, head in enumerate(heads):
        middle_in = left_in + (place + 0.5) * cell_in - (DIGITS_IN / 2 if count == 1 else 0.0)
        axes.text(middle_in, top_in - 0.07, head, ha="center", va="bottom", **style)
    full = [full_length(row.max(), bars=count == 1) for row in fusion.weights]  # rows differ in kind
    for place, label in enumerate(labels):
        middle_in = top_in + (place + 0.5) * line_in
        axes.text(0, middle_in, label, va="center", **style)
        for cell, value in enumerate(fusion.weights[:, place]):
            box = (left_in + cell * cell_in, middle_in - 0.44 * line_in, cell_in, 0.88 * line_in)
            (draw_bar if count == 1 else draw_cell)(axes, box, float(value), float(value) / full[cell])


def full_length(most: float, bars: bool) -> float:
    """What counts as a full bar, or as the darkest cell."""
    if bars:
        return next((scale for scale in SCALES if most <= scale), float(most))
    return float(most) if most > 0 else 1.0


Box = tuple[float, float, float, float]
"""Left, top, width, height in inches."""


def draw_bar(axes: Axes, box: Box, value: float, share: float) -> None:
    """A value as a bar, its digits behind it."""
    left, top, width, height = box
    room = width - DIGITS_IN
    axes.add_patch(Rectangle((left, top), room, height, facecolor=EMPTY, edgecolor="none"))
    axes.add_patch(Rectangle((left, top), room * max(share, 0.0), height, facecolor=WEIGHT_COLOURS(0.6)))
    axes.text(left + room + 0.08, top + height / 2, f"{value:.2f}", fontsize=9.5, color=INK, va="center")


def draw_cell(axes: Axes, box: Box, value: float, share: float) -> None:
    """A value as a tinted cell."""
    left, top, width, height = box
    axes.add_patch(Rectangle((left, top), width - 0.03, height, facecolor=WEIGHT_COLOURS(max(share, 0.0))))
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 9.5 if width > 0.42 else 8}
    colour = PAPER if share > LIGHT_ABOVE else INK
    axes.text(left + (width - 0.03) / 2, top + height / 2, f"{value:.2f}", color=colour, **style)
