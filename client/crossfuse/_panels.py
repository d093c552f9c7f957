"""The panels over time, all on one axis from the start of the recording to its end, and what panels share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec
from matplotlib.patches import Rectangle

from ._attention import EXCERPTS, Span, even_spans, focus, heard_spans
from ._errors import InvalidInput
from ._media import Sound, read_film, read_log, read_sound
from ._payloads import Payload
from ._report import MEANING
from ._results import Status, WeldInspection

INK, FAINT, EMPTY, PAPER = "#1c2733", "#8894a0", "#f3f5f7", "#ffffff"
STATUS_COLOURS = {
    Status.OK: "#2e7d4f",
    Status.PARTIAL: "#c77700",
    Status.CORRUPT: "#b3261e",
    Status.ABSENT: "#8894a0",
}
HEAT = colormaps["YlOrRd"]
HEAT_SCALE = Normalize(
    0.0, 4.0
)  # in even shares; a few sensor steps may have far more, and would hide the rest
Draw = Callable[[], None]


def draw_film(figure: Figure, place: Any, weld: WeldInspection, payload: Payload) -> None:
    """One frame for each time slice that the model weighs."""
    strip, lane = panel_and_lane(figure, place, 0.11)
    heading(strip, "Video", weld.status["video"])
    weights = focus(weld.attention["video"])

    def draw() -> None:
        film = read_film(payload, len(weights))
        strip.set_facecolor(INK)
        width = 1 / len(weights)
        cell = width * shape_of(figure, strip)
        time: dict[str, Any] = {"fontsize": 8, "color": PAPER, "weight": "bold", "zorder": 3}
        for index, frame in enumerate(film.frames):
            strip.imshow(frame, extent=fitted(frame, index * width, width, cell), aspect="auto", zorder=1)
            strip.axvline(index * width, color=PAPER, lw=1.5, zorder=2)
            strip.text(index * width + 0.005, 0.05, f"{film.at_s[index]:.1f} s", **time)
        strip.set(xlim=(0, 1), ylim=(0, 1))

    draw_or_say(strip, weld.status["video"], draw, "video")
    draw_lane(lane, even_spans(weights), weld.status["video"])


def shape_of(figure: Figure, axes: Axes) -> float:
    """Width over height of axes, as printed."""
    box = axes.get_position()
    figure_width, figure_height = figure.get_size_inches()
    return float(box.width * figure_width / (box.height * figure_height))


def fitted(frame: Any, left: float, width: float, cell: float) -> tuple[float, float, float, float]:
    """Where a frame lies whole and undistorted in its cell: left, right, bottom, top in shares of the strip.

    cell: width over height of the cell, as printed
    """
    frame_shape = frame.shape[1] / frame.shape[0]
    across, high = min(1.0, frame_shape / cell), min(1.0, cell / frame_shape)
    middle = left + width / 2
    return middle - across * width / 2, middle + across * width / 2, 0.5 - high / 2, 0.5 + high / 2


def draw_sound(figure: Figure, place: Any, weld: WeldInspection, payload: Payload) -> None:
    """A spectrogram over the bins that the model weighs."""
    plot, lane = panel_and_lane(figure, place, 0.10)
    heading(plot, "Sound", weld.status["audio"])
    weights = focus(weld.attention["audio"])
    spans = even_spans(weights)

    def draw() -> None:
        nonlocal spans
        sound = read_sound(payload)
        spans = heard_spans(weights, sound.duration_s, weld.audio_window_s)
        if weld.audio_window_s and sound.duration_s > weld.audio_window_s:
            excerpt_s = weld.audio_window_s / EXCERPTS
            note(plot, f"{EXCERPTS} excerpts of {excerpt_s:.1f} s were heard; the rest of the lane is grey")
        plot.imshow(
            spectrogram_db(sound),
            extent=(0, 1, 0, sound.rate_hz / 2000),
            aspect="auto",
            origin="lower",
            cmap="Greys",
        )
        plot.set_ylim(0, min(8.0, sound.rate_hz / 2000))
        plot.set_ylabel("kHz", fontsize=9, color=FAINT)
        plot.set_yticks([0, 2, 4, 6, 8])
        plot.tick_params(labelsize=8, colors=FAINT, length=2)

    draw_or_say(plot, weld.status["audio"], draw, "sound")
    draw_lane(lane, spans, weld.status["audio"])


def spectrogram_db(sound: Sound, window: int = 512) -> np.ndarray[Any, Any]:
    """Short-time power in decibels over a floor, (frequencies, frames): Hann windows, 70 dB deep."""
    samples = np.pad(sound.samples, (0, max(0, window - len(sound.samples))))
    hop = max(window // 4, len(samples) // 1200)  # more columns than pixels help nobody
    frames = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop] * np.hanning(window)
    power = np.abs(np.fft.rfft(frames, axis=1)).T ** 2
    level = 10 * np.log10(power + 1e-12)
    return np.maximum(level, level.max() - 70)


def draw_log(figure: Figure, place: Any, weld: WeldInspection, payload: Payload) -> None:
    """The sensors' curves over the steps that the model weighs."""
    status, weights = weld.status["sensor"], focus(weld.attention["sensor"])
    grid = GridSpecFromSubplotSpec(7, 1, place, hspace=0.12, height_ratios=[1.0] * 6 + [0.3])
    plots = [figure.add_subplot(grid[row]) for row in range(6)]
    for plot in plots:
        bare(plot)
    heading(plots[0], "Sensors", status)

    def draw() -> None:
        log = read_log(payload, weld.sensor_columns)
        for plot, name, values in zip(plots, log.names, log.rows.T, strict=False):
            draw_curve(plot, name, values, weights)

    if not draw_or_say(plots[2], status, draw, "sensor log"):
        for plot in plots:
            plot.set_facecolor(EMPTY)
    lane = figure.add_subplot(grid[6])
    bare(lane)
    draw_lane(lane, even_spans(weights), status)
    lane.set_xticks(np.linspace(0, 1, 6), [f"{share:.0%}" for share in np.linspace(0, 1, 6)])
    lane.tick_params(labelsize=9, colors=FAINT, length=3, bottom=True, labelbottom=True)
    lane.set_xlabel("from the start of the recording to its end", fontsize=9, color=FAINT)


def draw_curve(plot: Axes, name: str, values: np.ndarray[Any, Any], weights: np.ndarray[Any, Any]) -> None:
    """One channel over its attention."""
    low, high = float(values.min()), float(values.max())
    margin = 0.12 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    plot.imshow(
        weights[None, :],
        extent=(0, 1, *limits),
        aspect="auto",
        cmap=HEAT,
        norm=HEAT_SCALE,
        alpha=0.55,
        zorder=1,
    )
    plot.plot(np.linspace(0, 1, len(values)), values, color=INK, lw=1.0, zorder=2)
    plot.set(xlim=(0, 1), ylim=limits, yticks=[low, high])
    plot.set_yticklabels([in_short(low), in_short(high)], fontsize=7.5, color=FAINT)
    plot.tick_params(length=2, color=FAINT)
    words = fill(name, 13)
    plot.text(-0.052, 0.5, words, transform=plot.transAxes, fontsize=8.5, ha="right", va="center", color=INK)


def in_short(value: float) -> str:
    """Three digits, and no powers of ten for what a weld's sensors measure."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def panel_and_lane(figure: Figure, place: Any, share: float) -> tuple[Axes, Axes]:
    """A panel and the thin attention lane under it."""
    grid = GridSpecFromSubplotSpec(2, 1, place, hspace=0.04, height_ratios=[1 - share, share])
    panel, lane = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    bare(panel)
    bare(lane)
    return panel, lane


def draw_lane(lane: Axes, spans: Sequence[Span], status: Status) -> None:
    """Attention over time; what was not heard stays empty."""
    lane.set_facecolor(EMPTY)
    if not status.usable:
        return
    for span in spans:
        colour = HEAT(HEAT_SCALE(span.weight))
        lane.add_patch(
            Rectangle((span.start, 0), span.end - span.start, 1, facecolor=colour, edgecolor="none")
        )


def draw_or_say(axes: Axes, status: Status, draw: Draw, name: str) -> bool:
    """Draw what can be drawn, else say why not. returns: whether it was drawn"""
    reason = None if status.usable else MEANING[status].split(";")[0]
    if status is not Status.ABSENT:
        try:
            draw()
        except (ValueError, InvalidInput):
            reason = reason or "used by the server; cannot be shown here"
    if reason is None:
        return True
    axes.set_facecolor(EMPTY)
    colour = STATUS_COLOURS[status]
    label = {"facecolor": PAPER, "edgecolor": colour, "boxstyle": "round,pad=0.4"}
    axes.text(
        0.5,
        0.5,
        f"{name}: {reason}",
        transform=axes.transAxes,
        ha="center",
        va="center",
        color=colour,
        fontsize=10,
        bbox=label,
        zorder=9,
    )
    return False


def heading(axes: Axes, text: str, status: Status | None) -> None:
    """A panel's name, and its modality's state as a coloured word."""
    axes.set_title(text, loc="left", fontsize=11.5, weight="bold", color=INK, pad=5)
    if status is not None:
        wide = axes.get_position().width > 0.3 and status is not Status.OK
        word = f"{status.name}: {MEANING[status]}" if wide else status.name
        style = {"fontsize": 9.5, "weight": "bold", "color": STATUS_COLOURS[status]}
        axes.set_title(word, loc="right", pad=5, fontdict=style)


def note(axes: Axes, text: str) -> None:
    """A remark beside a panel's name."""
    axes.text(0.08, 1.045, text, transform=axes.transAxes, fontsize=9, color=FAINT, va="bottom")


def bare(axes: Axes) -> None:
    """No ticks, a hairline around, the shared axis."""
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
    for edge in axes.spines.values():
        edge.set(color="#d5dbe1", linewidth=0.8)
