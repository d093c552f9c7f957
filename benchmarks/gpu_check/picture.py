"""The picture of a check: throughput by batch, a panel per model, with the share of the peak reached."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu_check import installed
from benchmarks.gpu_check.findings import Row, Skip
from benchmarks.palette import ALARM, FAINT, INK, LINE

PANELS_PER_ROW = 4
SHADES = {"fp32": "#1b2a41", "bf16": "#2a7f9e", "fp16": "#6a9c3a", "int8": "#c77b1f"}
STROKES = {"torch": ":", "torch.compile": "-.", "onnxruntime": "--"}


def draw(rows: Sequence[Row], title: str, path: Path) -> Path:
    """Write the picture as PNG; Skip without matplotlib or without a row to draw."""
    if not rows:
        raise Skip("no picture: no engine was measured")
    installed.module("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    models = list(dict.fromkeys(row["model"] for row in rows))
    deep = -(-len(models) // PANELS_PER_ROW)
    wide = min(len(models), PANELS_PER_ROW)
    figure = Figure(figsize=(4.2 * wide, 3.2 * deep + 1), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    panels = figure.subplots(deep, wide, squeeze=False).ravel()
    for axes, model in zip(panels, models, strict=False):
        _panel(axes, [row for row in rows if row["model"] == model])
    for axes in panels[len(models) :]:
        axes.set_visible(False)
    handles = {
        label: line for axes in panels for line, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside lower center",
        ncols=5,
        frameon=False,
        fontsize=8,
    )
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white")
    return path


def _panel(axes, rows: Sequence[Row]) -> None:  # type: ignore[no-untyped-def]  # matplotlib may be missing
    pairs = dict.fromkeys((row["runner"], row["precision"]) for row in rows)
    for runner, precision in pairs:
        own = sorted(
            (row for row in rows if (row["runner"], row["precision"]) == (runner, precision)),
            key=lambda row: row["batch"],
        )
        wrong = any(row.get("ok") is False for row in own)
        axes.plot(
            [row["batch"] for row in own],
            [row["items_per_s"] for row in own],
            STROKES.get(runner, "-"),
            color=ALARM if wrong else SHADES.get(precision, FAINT),
            marker="o",
            markersize=3,
            linewidth=1.3,
            label=f"{runner} {precision}",
        )
    axes.set_title(headline(rows), loc="left", fontsize=9, color=INK)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("batch", fontsize=8, color=INK)
    axes.set_ylabel("items per second", fontsize=8, color=INK)
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.tick_params(colors=FAINT, labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def headline(rows: Sequence[Row]) -> str:
    """A model's name, and the engine that comes nearest to the peak of its precision."""
    known = [row for row in rows if row.get("share_of_measured")]
    name = rows[0]["model"]
    if not known:
        return name
    best = max(known, key=lambda row: row["share_of_measured"])
    return f"{name}\n{best['share_of_measured']:.0%} of peak: {best['runner']} {best['precision']}"
