"""The picture of a ladder: the score of every rung, one line per source, a panel per codec."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.ladder import Scored, goal_line
from benchmarks.palette import ALARM, FAINT, INK, LINE
from benchmarks.rungs import LADDERS, Ladder

RED = 3  # in tab10: kept for what should not be there


def draw(scored: Sequence[Scored], result: dict[str, Any], path: Path) -> Path:
    """Write the picture as PNG, 1560 pixels wide; where a score rises with compression its line is red."""
    figure = Figure(figsize=(13, 5.4), dpi=120, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    contents = list(result["contents"])
    palette = [colormaps["tab10"](place) for place in range(10) if place != RED]
    colours = {content: palette[place % len(palette)] for place, content in enumerate(contents)}
    panels = figure.subplots(1, len(LADDERS), sharey=True)
    for axes, ladder in zip(panels, LADDERS, strict=True):
        _panel(axes, ladder, [one for one in scored if one.rung.codec == ladder.codec], colours)
        found = result["codecs"][ladder.codec]
        axes.set_title(
            f"{ladder.codec}: {found['share']:.1%} of {found['pairs']} pairs", loc="left", color=INK
        )
    scores = [one.score for one in scored]
    panels[0].set_ylim(min(0.0, *scores) - 2, max(100.0, *scores) + 2)  # the whole scale: a slope is a slope
    panels[0].set_ylabel("served quality score, 0 to 100", color=INK)
    figure.suptitle(goal_line(result), x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK)
    figure.legend(handles=_legend(colours), loc="outside lower center", ncols=8, frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white")
    return path


def _panel(axes: Axes, ladder: Ladder, scored: Sequence[Scored], colours: dict[str, Any]) -> None:
    sources: dict[str, list[Scored]] = {}
    for one in sorted(scored, key=lambda one: one.rung.number):
        sources.setdefault(one.rung.source, []).append(one)
    for rungs in sources.values():
        colour = colours[rungs[0].rung.content]
        places = [one.rung.number for one in rungs]
        axes.plot(places, [one.score for one in rungs], "o-", color=colour, markersize=3.5, linewidth=1.2)
        for before, after in pairwise(rungs):
            if after.score >= before.score:
                steps = [before.rung.number, after.rung.number], [before.score, after.score]
                axes.plot(*steps, color=ALARM, linewidth=2.6, zorder=3)
    axes.set_xticks(range(len(ladder.values)), [str(value) for value in ladder.values])
    axes.set_xlabel(f"{ladder.called}: more compression to the right", color=INK)
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.tick_params(colors=FAINT, labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)


def _legend(colours: dict[str, Any]) -> list[Line2D]:
    lines = [
        Line2D([], [], color=colour, marker="o", markersize=3.5, label=content)
        for content, colour in colours.items()
    ]
    return [*lines, Line2D([], [], color=ALARM, linewidth=2.6, label="the wrong way")]
