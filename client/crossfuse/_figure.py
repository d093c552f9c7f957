"""The whole picture: header, the panels over time on the left, classes and photos on the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec, GridSpecFromSubplotSpec
from matplotlib.patches import Rectangle

from ._attention import focus
from ._media import read_photo
from ._panels import (
    EMPTY,
    FAINT,
    HEAT,
    HEAT_SCALE,
    INK,
    PAPER,
    STATUS_COLOURS,
    bare,
    draw_film,
    draw_log,
    draw_or_say,
    draw_sound,
    heading,
    shape_of,
)
from ._payloads import Payload
from ._report import readable
from ._results import Status, WeldInspection

GOOD_COLOUR, BAD_COLOUR = STATUS_COLOURS[Status.OK], STATUS_COLOURS[Status.CORRUPT]


def weld_figure(weld: WeldInspection, payloads: Mapping[str, Payload], title: str) -> Figure:
    """The whole picture, 15 x 11.6 inches at 120 dots an inch."""
    figure = Figure(figsize=(15, 11.6), dpi=120, facecolor=PAPER)
    grid = GridSpec(2, 2, figure, left=0.115, right=0.975, top=0.965, bottom=0.075, hspace=0.1, wspace=0.13)
    grid.set_height_ratios([1.0, 10.0])
    grid.set_width_ratios([3.1, 1.0])
    draw_header(figure.add_subplot(grid[0, :]), weld, title)
    left = GridSpecFromSubplotSpec(3, 1, grid[1, 0], hspace=0.24, height_ratios=[1.35, 2.3, 5.4])
    draw_film(figure, left[0], weld, payloads.get("video"))
    draw_sound(figure, left[1], weld, payloads.get("audio"))
    draw_log(figure, left[2], weld, payloads.get("sensor"))
    right = GridSpecFromSubplotSpec(2, 1, grid[1, 1], hspace=0.16, height_ratios=[3.3, 6.3])
    draw_scores(figure.add_subplot(right[0]), weld)
    draw_photos(figure, right[1], weld, payloads.get("image"))
    draw_scale(figure)
    return figure


def draw_header(axes: Axes, weld: WeldInspection, title: str) -> None:
    """Verdict, run, anomaly score."""
    axes.axis("off")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    colour = anomaly_colour(weld)
    verdict = f"{readable(weld.defect)}  {weld.scores[weld.defect]:.0%}"
    axes.text(0.0, 0.42, verdict, fontsize=30, weight="bold", color=colour, va="center")
    axes.text(0.0, 1.02, title or "weld inspection", fontsize=13, color=FAINT, va="center")
    axes.text(1.0, 0.98, "anomaly score", fontsize=11, color=FAINT, ha="right", va="center")
    axes.text(
        1.0,
        0.45,
        f"{weld.anomaly_score:.2f}",
        fontsize=30,
        weight="bold",
        color=colour,
        ha="right",
        va="center",
    )
    left, width = 0.725, 0.18
    axes.add_patch(Rectangle((left, 0.36), width, 0.16, facecolor="#e6eaee"))
    axes.add_patch(Rectangle((left, 0.36), width * weld.anomaly_score, 0.16, facecolor=colour))
    for share, word in ((0.0, "good"), (1.0, "anomalous")):
        align = "left" if share == 0.0 else "right"
        axes.text(left + width * share, 0.18, word, fontsize=9, color=FAINT, ha=align, va="center")


def anomaly_colour(weld: WeldInspection) -> str:
    """Green below one half, red above."""
    return GOOD_COLOUR if weld.anomaly_score < 0.5 else BAD_COLOUR


def draw_scores(axes: Axes, weld: WeldInspection) -> None:
    """Every class as a bar, most probable first."""
    names, shares = list(weld.scores), list(weld.scores.values())
    places = range(len(names))
    colours = [anomaly_colour(weld)] + ["#b8c2cc"] * (len(names) - 1)
    axes.barh(places, shares, color=colours, height=0.72)
    for place, (name, share) in enumerate(zip(names, shares, strict=True)):
        inside = share > 0.55
        axes.text(
            0.015 if inside else share + 0.015,
            place,
            f"{readable(name)}  {share:.1%}",
            fontsize=8.5,
            va="center",
            color=PAPER if inside else INK,
        )
    axes.set(xlim=(0, 1), ylim=(len(names) - 0.4, -0.6), xticks=[], yticks=[])
    frame_nothing(axes)
    heading(axes, "Classes", None)


def draw_photos(figure: Figure, place: Any, weld: WeldInspection, payload: Payload) -> None:
    """Each photo that was sent, framed in its attention."""
    photos: Sequence[Any] = payload if isinstance(payload, (list, tuple)) else [payload]
    weights = focus(weld.attention["image"])
    rows = len(weights)
    grid = GridSpecFromSubplotSpec(rows, 2, place, hspace=0.1, wspace=0.04, width_ratios=[1.0, 0.06])
    for row in range(rows):
        axes, mark = figure.add_subplot(grid[row, 0]), figure.add_subplot(grid[row, 1])
        bare(axes)
        bare(mark)
        status = weld.image_status[row] if row < len(weld.image_status) else Status.ABSENT
        if row == 0:
            heading(axes, "Photos", weld.status["image"])
        source = photos[row] if row < len(photos) else None
        draw_or_say(axes, status, partial(show_photo, figure, axes, source), f"photo {row + 1}")
        mark.set_facecolor(HEAT(HEAT_SCALE(weights[row])) if status.usable else EMPTY)
        if status.usable:
            axes.text(
                0.985,
                0.05,
                f"{weights[row]:.1f} x",
                transform=axes.transAxes,
                ha="right",
                fontsize=8.5,
                color=PAPER,
                weight="bold",
                bbox={"facecolor": INK, "alpha": 0.6, "edgecolor": "none", "pad": 2},
            )


def show_photo(figure: Figure, axes: Axes, source: Any) -> None:
    """Fill the axes with the photo, cropped to their shape rather than stretched."""
    photo = read_photo(source)
    height, width = photo.shape[:2]
    keep = min(height, round(width / shape_of(figure, axes)))
    top = (height - keep) // 2
    axes.imshow(photo[top : top + keep], aspect="auto", extent=(0, 1, 0, 1))


def draw_scale(figure: Figure) -> None:
    """What the colours mean."""
    axes = figure.add_axes((0.745, 0.048, 0.23, 0.012))
    bar = figure.colorbar(ScalarMappable(HEAT_SCALE, HEAT), cax=axes, orientation="horizontal", extend="max")
    bar.outline.set_visible(False)  # type: ignore[operator]
    axes.tick_params(labelsize=8, colors=FAINT, length=2)
    axes.set_xlabel("attention within a modality, in even shares", fontsize=9, color=FAINT)


def frame_nothing(axes: Axes) -> None:
    """No lines around."""
    for edge in axes.spines.values():
        edge.set_visible(False)
