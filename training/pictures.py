"""Pictures of results, for a reader who was not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from multimodal.weld_classes import CLASS_NAMES


def _readable(name: str) -> str:
    return name.replace("_w_", " with\n").replace("_", " ").capitalize()


def draw_confusion(confusion: NDArray[np.integer], path: Path, subtitle: str = "") -> Path:
    """Draw a confusion matrix (classes, classes) of counts as PNG and return its path.

    A cell shows its count and is shaded by its share of the true class; zeros are left blank.
    subtitle: what was judged, on which runs
    """
    if confusion.shape != (len(CLASS_NAMES), len(CLASS_NAMES)):
        size = len(CLASS_NAMES)
        raise ValueError(f"confusion: expected {size} x {size} counts, got shape {confusion.shape}")
    totals = confusion.sum(axis=1, keepdims=True)
    shares = confusion / np.maximum(totals, 1)
    figure = Figure(figsize=(9.2, 8.2), dpi=120, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [_readable(name) for name in CLASS_NAMES]
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor", fontsize=9)
    rows = [f"{name}  ({int(total)})" for name, total in zip(names, totals[:, 0], strict=True)]
    axes.set_yticks(range(len(names)), rows, fontsize=9)
    axes.set_xlabel("answered")
    axes.set_ylabel("true class  (runs)")
    for (row, column), count in np.ndenumerate(confusion):
        if count:
            colour = "white" if shares[row, column] > 0.55 else "#1b2a41"
            axes.text(column, row, str(int(count)), ha="center", va="center", fontsize=10, color=colour)
    axes.set_xticks(np.arange(-0.5, len(names)), minor=True)
    axes.set_yticks(np.arange(-0.5, len(names)), minor=True)
    axes.grid(which="minor", color="#d9dee5", linewidth=0.8)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    right = int(np.trace(confusion))
    total = int(confusion.sum())
    headline = f"{right} of {total} welds answered right ({right / max(total, 1):.1%})"
    axes.set_title(f"{headline}\n{subtitle}" if subtitle else headline, loc="left", fontsize=11, pad=12)
    bar = figure.colorbar(picture, ax=axes, fraction=0.035, pad=0.02, format=lambda share, _: f"{share:.0%}")
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path
