"""Panels that both pipelines of images and words have: the image, words in quotation marks, a legend."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from ._image_text import only_image, text_bytes
from ._media import read_photo
from ._panels import EMPTY, INK, STATUS_COLOURS, bare, draw_or_say
from ._payloads import Payload
from ._results import Status
from ._states_report import meaning

ANSWER = "#14507a"
SHARPEST_PX = 700  # of the longer side: more than an image panel has
BIG_PT, SMALL_PT = 22.0, 10.5
LETTER_SHARE = 0.0078  # inches that an average letter takes for each point of its size
LINE_SHARE = 0.0187  # inches from line to line for each point

Pixels = np.ndarray[Any, Any]
Show = Callable[[Axes, Pixels], None]


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place in inches, counted from the figure's upper left corner."""
    across, high = figure.get_size_inches()
    return figure.add_axes((left / across, 1 - (top + height) / high, width / across, height / high))


def blank(axes: Axes) -> None:
    """Nothing but what will be drawn: no frame, no ticks, both axes from 0 to 1."""
    axes.axis("off")
    axes.set(xlim=(0, 1), ylim=(0, 1))


def draw_image(axes: Axes, payload: Payload, state: Status, show: Show) -> None:
    """The image whole and undistorted in a square panel, drawn by `show`, or why it is not there."""
    bare(axes)

    def draw() -> None:
        pixels = read_photo(only_image(payload), SHARPEST_PX)
        high, wide = pixels.shape[:2]
        show(axes, pixels)
        slack = (high - wide) / 2  # the panel is square, the image need not be
        axes.set_xlim(min(0.0, -slack), max(wide, wide + slack))
        axes.set_ylim(max(high, high - slack), min(0.0, slack))
        axes.set_facecolor(EMPTY)

    draw_or_say(axes, state, draw, "image")


def show_plain(axes: Axes, pixels: Pixels) -> None:
    """The image as it is; few pixels are enlarged smoothly."""
    high, wide = pixels.shape[:2]
    axes.imshow(pixels, extent=(0, wide, high, 0), aspect="auto", interpolation="bicubic")


def draw_words(axes: Axes, size_in: tuple[float, float], said: str, largest_pt: float = BIG_PT) -> None:
    """Words in quotation marks, as large as fits (width, height) in inches; what is too long ends in dots."""
    blank(axes)
    width_in, height_in = size_in
    points, lines = fitted_words(f"“{said}”" if said else "", width_in, height_in, largest_pt)
    text = axes.text(0, 0.96, "\n".join(lines), fontsize=points, color=INK, va="top", linespacing=1.25)
    keep_within(text, width_in)


def keep_within(text: Text, width_in: float) -> None:
    """Make letters smaller where they are wider than most, so that no line leaves its place."""
    figure = text.get_figure(root=True)
    if figure is not None and text.get_text():
        excess = text.get_window_extent().width / figure.dpi / width_in
        text.set_fontsize(float(text.get_fontsize()) / max(excess, 1.0))


def fitted_words(text: str, width_in: float, height_in: float, largest_pt: float) -> tuple[float, list[str]]:
    """The largest size, down to SMALL_PT, at which the lines of a text fit a place, and those lines."""
    points = largest_pt
    while True:
        letters, room = int(width_in / (LETTER_SHARE * points)), int(height_in / (LINE_SHARE * points))
        lines = wrap(text, max(letters, 1), max_lines=max(room, 1), placeholder=" …")
        whole = not lines or not lines[-1].endswith("…")
        if whole or points <= SMALL_PT:
            return points, lines
        points = max(SMALL_PT, points - 1.5)


def words_of(name: str, payload: Any) -> str:
    """What was passed as words, on one line; empty for nothing. raises: InvalidInput if it cannot be sent"""
    return " ".join(text_bytes(name, payload).decode(errors="replace").split())


def shorten_file(name: str) -> str:
    """A file's name, its middle left out where it is long."""
    return name if len(name) <= 80 else f"{name[:50]} … {name[-25:]}"


def title_state(axes: Axes, modality: str, state: Status) -> None:
    """The state as a coloured word at the right of a panel's name, and what it means unless all is well."""
    said = state.name if state is Status.OK else f"{state.name}: {meaning(modality, state)}"
    style = {"fontsize": 9.5, "weight": "bold", "color": STATUS_COLOURS[state]}
    axes.set_title(said, loc="right", pad=5, fontdict=style)
