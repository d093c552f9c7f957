"""Pictures with the heat map over them, what was asked, what was told and what was answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

INK, FAINT = "#1b2a41", "#7a8699"
COLUMNS = 4


@dataclass(frozen=True)
class Answered:
    """One question with all that the model said.

    picture: (side, side, 3) uint8; heat: (grid, grid) >= 0; match: whether text and picture go together, 0..1
    """

    picture: NDArray[np.uint8]
    question: str
    heat: NDArray[np.float32]
    match: float
    captions: Sequence[str]
    answer: str
    probability: float
    caption_answer: str


def draw_answered(answered: Sequence[Answered], path: Path) -> Path:
    """Write a PNG with four questions a row; returns its path."""
    rows = -(-len(answered) // COLUMNS)
    figure = Figure(figsize=(3.5 * COLUMNS, 4.9 * rows), dpi=90, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    panels = np.atleast_1d(figure.subplots(rows, COLUMNS)).ravel()
    for panel, one in zip(panels, answered, strict=False):
        side = one.picture.shape[0]
        panel.imshow(one.picture, extent=(0, side, side, 0))
        heat = one.heat / max(float(one.heat.max()), 1e-12)
        panel.imshow(heat, cmap="magma", alpha=0.15 + 0.5 * heat, extent=(0, side, side, 0))
        panel.set_title(one.question, fontsize=11, color=INK)
        panel.set_xticks([])
        panel.set_yticks([])
        told = "\n".join(dict.fromkeys(one.captions))
        panel.set_xlabel(
            f"{one.answer}  ({one.probability:.0%})   from captions: {one.caption_answer}\n"
            f"match {one.match:.0%}\n{told}",
            fontsize=9,
            color=INK,
        )
    for panel in panels[len(answered) :]:
        panel.set_visible(False)
    figure.savefig(path)
    return path
