"""The picture of a load curve: latency and goodput over the offered rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from benchmarks.palette import ALARM, FAINT, INK, LINE

TONES = {"p50": "#7aa6c2", "p95": "#3b7ea1", "p99": INK}


def draw(result: dict[str, Any], title: str, path: Path) -> Path:
    """Write the picture as PNG, 1440 pixels wide; bars are the spread over the repeats."""
    figure = Figure(figsize=(12, 5), dpi=120, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    latency, goodput = figure.subplots(1, 2)
    points = sorted(result["points"], key=lambda one: one["share"])
    _latency(latency, points, result["slo_ms"])
    _goodput(goodput, points)
    for axes in (latency, goodput):
        axes.axvline(result["goodput_rate_hz"], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlabel("offered requests a second (Poisson); dashed: the goodput rate", color=INK)
        axes.grid(axis="y", color=LINE, linewidth=0.6)
        axes.tick_params(colors=FAINT, labelsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(LINE)
        axes.legend(frameon=False, fontsize=9)
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white")
    return path


def _latency(axes: Axes, points: list[dict[str, Any]], slo_ms: float) -> None:
    for name, tone in TONES.items():
        told = [one for one in points if name in one["latency_ms"]]
        _line(axes, told, [one["latency_ms"][name] for one in told], tone, name)
    axes.axhline(slo_ms, color=ALARM, linewidth=1.2, label=f"SLO, {slo_ms:g} ms")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel("latency from when a request was due, ms", color=INK)


def _goodput(axes: Axes, points: list[dict[str, Any]]) -> None:
    offered = [one["offered_hz"]["median"] for one in points]
    axes.plot(offered, offered, color=LINE, linewidth=1.2, label="offered")
    _line(axes, points, [one["goodput_hz"] for one in points], INK, "in time and right")
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.set_ylabel("answers a second", color=INK)


def _line(
    axes: Axes, points: list[dict[str, Any]], values: list[dict[str, float]], tone: str, label: str
) -> None:
    middle = [value["median"] for value in values]
    below = [value["median"] - value["min"] for value in values]
    above = [value["max"] - value["median"] for value in values]
    offered = [one["offered_hz"]["median"] for one in points]
    axes.errorbar(offered, middle, [below, above], fmt="o-", color=tone, markersize=4, capsize=3, label=label)
