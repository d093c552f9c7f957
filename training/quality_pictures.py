"""Predicted quality against VMAF, for a reader who was not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.quality_evaluate import QualityEvaluation

INK, FAINT = "#1b2a41", "#7a8699"
COLOURS = {
    "H.264": "#1f77b4",
    "MPEG-4": "#17a2b8",
    "VP9": "#6f42c1",
    "blocking": "#e377c2",
    "blur": "#2ca02c",
    "noise": "#8c564b",
    "dropped frames": "#d62728",
    "flicker": "#ff9f1c",
    "mixed": "#9aa5b1",
    "pristine": "#111111",
}


def draw_scatter(evaluation: QualityEvaluation, path: Path) -> Path:
    """Write a PNG: every held-out clip, the model's score beside BRISQUE's, and SRCC by distortion."""
    figure = Figure(figsize=(13.2, 6.4), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3, width_ratios=[1.0, 1.0, 0.85])
    report, peer = evaluation.report, evaluation.peer_report
    _cloud(left, evaluation, evaluation.predicted)
    left.plot([0, 100], [0, 100], color=FAINT, lw=0.9, zorder=1)
    left.set(xlabel="VMAF of the clip", ylabel="predicted without the source", xlim=(-3, 103), ylim=(-3, 108))
    _title(left, "Predicted quality", f"SRCC {report.srcc:.3f}, RMSE {report.rmse:.1f}")
    _cloud(middle, evaluation, evaluation.peer)
    middle.invert_yaxis()
    middle.set(xlabel="VMAF of the clip", ylabel="BRISQUE (lower is better: axis turned)", xlim=(-3, 103))
    _title(middle, "BRISQUE on the same clips", f"SRCC {peer.srcc:.3f}")
    _bars(right, evaluation)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def _cloud(axes: Axes, evaluation: QualityEvaluation, values: np.ndarray) -> None:
    names = np.array(evaluation.names)
    for name in sorted(
        set(evaluation.names), key=lambda known: list(COLOURS).index(known) if known in COLOURS else 99
    ):
        chosen = names == name
        colour = COLOURS.get(name, FAINT)
        axes.scatter(
            evaluation.scores[chosen],
            values[chosen],
            s=15,
            color=colour,
            alpha=0.75,
            lw=0,
            label=name,
            zorder=2,
        )
    _plain(axes)
    axes.grid(color="#e6eaf0", lw=0.7)


def _bars(axes: Axes, evaluation: QualityEvaluation) -> None:
    kinds = [group for group in evaluation.kinds if group.name != "pristine"]
    places = np.arange(len(kinds))
    axes.barh(places - 0.2, [group.srcc for group in kinds], 0.38, color="#2d6cdf", label="this model")
    axes.barh(places + 0.2, [group.peer_srcc for group in kinds], 0.38, color="#c3ccd8", label="BRISQUE")
    for place, group in zip(places, kinds, strict=True):
        axes.text(
            max(group.srcc, 0) + 0.02, place - 0.2, f"{group.srcc:.2f}", va="center", fontsize=8.5, color=INK
        )
    axes.set_yticks(places, [f"{group.name}  ({group.clips})" for group in kinds], fontsize=9)
    axes.invert_yaxis()
    low = min(0.0, *(group.peer_srcc for group in kinds), *(group.srcc for group in kinds))
    axes.set(xlim=(low - 0.05, 1.12), xlabel="SRCC within the distortion")
    axes.axvline(0, color=FAINT, lw=0.8)
    axes.legend(frameon=False, fontsize=9, loc="lower right", bbox_to_anchor=(1.0, 1.0))
    _plain(axes)
    _title(axes, "By distortion", "held-out contents")


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#c3ccd8")
    axes.tick_params(colors=FAINT, labelsize=9)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)


def _title(axes: Axes, text: str, remark: str) -> None:
    axes.set_title(f"{text}\n{remark}", loc="left", fontsize=11, color=INK, pad=8)
