"""The panels over the time of a video, one column for each frame that was looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap, Normalize
from matplotlib.patches import Rectangle

from ._panels import EMPTY, FAINT, INK, PAPER, bare, fitted
from ._quality import BEST, GRADES, FrameQuality, grade_of
from ._quality_report import time_labels

GRADE_COLOURS = dict(zip(GRADES, ("#b3261e", "#cc6a14", "#b08d00", "#5f9130", "#2e7d4f"), strict=True))
WEIGHT_COLOURS: Colormap = ListedColormap(colormaps["Blues"](np.linspace(0.25, 1.0, 128)))
LOST = {"facecolor": "#f6e6cf", "edgecolor": "#c77700", "hatch": "///", "linewidth": 0.0, "alpha": 0.55}
WIDEST_BAR_IN = 0.9
STUB = 0.5  # of a column: room to say that the file ends early


@dataclass(frozen=True)
class Timeline:
    """Columns of equal width along the time axis: each lies under its frame where those are evenly spaced."""

    frames: list[FrameQuality]
    ends_early: bool
    width_in: float

    @property
    def step_s(self) -> float:
        """Time that one column spans."""
        count = len(self.frames)
        span_s = self.frames[-1].time_s - self.frames[0].time_s if count else 0.0
        return span_s / (count - 1) if span_s > 0 else 1.0

    @property
    def limits_s(self) -> tuple[float, float]:
        """Start and end of the axis; behind the last column, room for the remark that the file ends."""
        first_s = self.frames[0].time_s if self.frames else 0.0
        start_s = first_s - self.step_s / 2
        columns = max(1, len(self.frames)) + (STUB if self.ends_early else 0.0)
        return start_s, start_s + columns * self.step_s

    @property
    def end_s(self) -> float:
        """Right edge of the last column."""
        return self.limits_s[0] + max(1, len(self.frames)) * self.step_s

    @property
    def column_in(self) -> float:
        """Width of a column, as printed."""
        start_s, end_s = self.limits_s
        return self.width_in * self.step_s / (end_s - start_s)

    def middle_s(self, column: int) -> float:
        """The middle of a column."""
        return self.limits_s[0] + (column + 0.5) * self.step_s

    def colours(self) -> list[Any]:
        """Each frame's weight as a colour: pale for none, the darkest for thrice an even share or more."""
        even = 1 / max(1, len(self.frames))
        scale = Normalize(0.0, 3 * even, clip=True)
        return [WEIGHT_COLOURS(scale(frame.weight)) for frame in self.frames]


def draw_bands(axes: Axes) -> None:
    """The scale from 0 to 100 as five tinted bands, named beside the right edge."""
    axes.set(ylim=(0, BEST), yticks=np.linspace(0, BEST, len(GRADES) + 1), xticks=[])
    axes.tick_params(labelsize=9, colors=FAINT, length=0)
    fifth = BEST / len(GRADES)
    for place, grade in enumerate(GRADES):
        axes.axhspan(place * fifth, (place + 1) * fifth, facecolor=GRADE_COLOURS[grade], alpha=0.11, zorder=0)
        axes.text(
            1.008,
            (place + 0.5) * fifth,
            grade,
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=9.5,
            color=GRADE_COLOURS[grade],
        )
    for edge in axes.spines.values():
        edge.set_visible(False)


def draw_curve(axes: Axes, line: Timeline, score: float) -> None:
    """Frame scores as a line, the whole clip's score as a level; a dot grows with its frame's weight."""
    draw_bands(axes)
    axes.set_xlim(line.limits_s)
    times, scores = [f.time_s for f in line.frames], [f.score for f in line.frames]
    level: dict[str, Any] = {
        "color": GRADE_COLOURS[grade_of(score)],
        "lw": 1.8,
        "dashes": (6, 3),
        "zorder": 2,
    }
    axes.plot(line.limits_s, (score, score), label=f"whole clip, {round(score):d}", **level)
    axes.plot(times, scores, color=INK, lw=1.8, zorder=3, solid_capstyle="round", clip_on=False)
    even = 1 / len(line.frames)
    sizes = [50 + 110 * min(frame.weight / even, 3.0) for frame in line.frames]
    dots: dict[str, Any] = {
        "edgecolors": INK,
        "linewidths": 1.4,
        "zorder": 4,
        "clip_on": False,
        "label": "frames looked at",
    }
    axes.scatter(times, scores, s=sizes, c=line.colours(), **dots)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0.17, 0.985),
        ncols=2,
        frameon=False,
        fontsize=9.5,
        labelcolor=INK,
        borderpad=0.3,
        handlelength=2.6,
    )


def draw_times(axes: Axes, line: Timeline) -> None:
    """Each frame's time over its column, with a line down from where it lies on the axis."""
    axes.axis("off")
    axes.set(xlim=line.limits_s, ylim=(0, 1))
    for column, (frame, label) in enumerate(
        zip(line.frames, time_labels([frame.time_s for frame in line.frames]), strict=True)
    ):
        middle_s = line.middle_s(column)
        axes.plot((frame.time_s, middle_s), (1.0, 0.62), color=FAINT, lw=0.9, clip_on=False)
        axes.text(middle_s, 0.3, label, ha="center", va="center", fontsize=9.5, color=INK)


def draw_thumbnails(axes: Axes, line: Timeline, pictures: Mapping[int, Any]) -> None:
    """Each frame whole in its column, framed in its weight."""
    bare(axes)
    axes.set(xlim=line.limits_s, facecolor=PAPER)
    for edge in axes.spines.values():
        edge.set_visible(False)
    high_in = axes.get_position().height * float(axes.figure.get_figheight())  # type: ignore[union-attr]
    inner_in = line.column_in - 0.08
    for column, (frame, colour) in enumerate(zip(line.frames, line.colours(), strict=True)):
        inner_s = line.step_s * inner_in / line.column_in
        left_s = line.middle_s(column) - inner_s / 2
        picture = pictures.get(frame.number)
        if picture is None:
            say_missing(axes, left_s, inner_s)
            continue
        west, east, south, north = fitted(picture, 0.0, 1.0, inner_in / high_in)
        box = (left_s + west * inner_s, left_s + east * inner_s, south, north)
        axes.imshow(picture, extent=box, aspect="auto", zorder=1)
        axes.add_patch(
            Rectangle(
                (box[0], box[2]),
                box[1] - box[0],
                box[3] - box[2],
                fill=False,
                edgecolor=colour,
                linewidth=3.0,
                clip_on=False,
                zorder=2,
            )
        )
    axes.set(xlim=line.limits_s, ylim=(0, 1))


def say_missing(axes: Axes, left_s: float, width_s: float) -> None:
    """A column whose frame the server saw and this machine cannot decode."""
    axes.add_patch(Rectangle((left_s, 0), width_s, 1, facecolor=EMPTY, edgecolor="none"))
    axes.text(
        left_s + width_s / 2, 0.5, "cannot be\nshown here", ha="center", va="center", fontsize=8, color=FAINT
    )


def draw_weights(axes: Axes, line: Timeline) -> None:
    """How much each frame counted, and what an even share would be."""
    weights = [frame.weight for frame in line.frames]
    even = 1 / len(weights)
    bar_s = line.step_s * min(0.72, WIDEST_BAR_IN / line.column_in)
    middles = [line.middle_s(column) for column in range(len(weights))]
    axes.bar(middles, weights, width=bar_s, color=line.colours(), edgecolor=INK, linewidth=0.6, zorder=2)
    axes.plot((line.limits_s[0], line.end_s), (even, even), color=FAINT, lw=1.0, dashes=(4, 3), zorder=3)
    top = 1.35 * max(*weights, even)
    digits: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": 10, "color": INK, "zorder": 4}
    for middle_s, weight in zip(middles, weights, strict=True):
        behind: dict[str, Any] = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.8}
        axes.text(middle_s, weight + 0.05 * top, f"{weight:.0%}", bbox=behind, **digits)
    axes.set_title("How much each frame counted in the answer", loc="left", fontsize=9.5, color=FAINT, pad=3)
    axes.set(xlim=line.limits_s, ylim=(0, top), xticks=[], yticks=[even])
    axes.set_yticklabels(["even\nshare"], fontsize=8.5, color=FAINT)
    axes.tick_params(length=0)
    for name, edge in axes.spines.items():
        edge.set(visible=name == "bottom", color="#d5dbe1")


def draw_lost_end(axes: Axes, line: Timeline, words: str = "") -> None:
    """Hatch what is missing behind the last frame, and say so."""
    start_s, end_s = line.end_s, line.limits_s[1]
    low, high = axes.get_ylim()
    axes.add_patch(Rectangle((start_s, low), end_s - start_s, high - low, zorder=5, **LOST))  # type: ignore[arg-type]
    if words:
        axes.text(
            (start_s + end_s) / 2,
            (low + high) / 2,
            words,
            rotation=90,
            ha="center",
            va="center",
            fontsize=9.5,
            weight="bold",
            color="#8a5200",
            zorder=6,
            bbox={"facecolor": PAPER, "edgecolor": "none", "boxstyle": "round,pad=0.3"},
        )
