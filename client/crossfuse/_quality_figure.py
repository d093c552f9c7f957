"""The picture of a video's quality: the score, quality over time above the frames it was read from, and the
evidence of the fusion beside them."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ._errors import InvalidInput
from ._fusion_panel import draw_fusion
from ._media import announced_s, read_frames
from ._panels import FAINT, INK, PAPER, STATUS_COLOURS, bare, draw_or_say, heading
from ._payloads import Payload
from ._quality import GRADES, VideoQuality, merged
from ._quality_panels import (
    GRADE_COLOURS,
    Timeline,
    draw_curve,
    draw_lost_end,
    draw_thumbnails,
    draw_times,
    draw_weights,
)
from ._quality_report import last_s, meaning, share_of, time_labels
from ._results import Status

WIDTH_IN, LEFT_IN, RIGHT_IN = 15.0, 0.95, 0.45
SIDE_IN, GAP_IN = 2.9, 1.0  # the fusion's column, and the space before it
LINE_IN = WIDTH_IN - LEFT_IN - RIGHT_IN - SIDE_IN - GAP_IN
HEADER_IN, CURVE_IN, WEIGHTS_IN = 1.3, 3.1, 1.0
LOWEST_IN, HIGHEST_IN = 0.8, 2.4  # of the thumbnails: tall for portrait videos
WIDE = 16 / 9


def quality_figure(clip: VideoQuality, payloads: Mapping[str, Payload], title: str) -> Figure:
    """The whole picture, 15 inches wide at 120 dots an inch; its height follows the video's shape."""
    state = clip.status["video"]
    line = Timeline(merged(clip.frames) if state.usable else [], state is Status.PARTIAL, LINE_IN)
    pictures = seen(payloads.get("video"), line)
    below = [0.45, thumbnails_in(line, pictures), 0.4, WEIGHTS_IN, 0.5] if line.frames else [0.4]
    heights = [0.3, HEADER_IN, 0.5, CURVE_IN, *below]
    figure = Figure(figsize=(WIDTH_IN, sum(heights)), dpi=120, facecolor=PAPER)
    draw_header(row(figure, heights, 1, WIDTH_IN - LEFT_IN - RIGHT_IN), clip, title)
    curve = row(figure, heights, 3, LINE_IN)
    heading(curve, "Quality over time", None)
    head = {"fontsize": 9.5, "weight": "bold", "color": STATUS_COLOURS[state]}
    curve.set_title(state_words(clip), loc="right", pad=5, fontdict=head)
    if line.frames:
        strip = row(figure, heights, 5, LINE_IN)
        draw_curve(curve, line, clip.score)
        draw_times(row(figure, heights, 4, LINE_IN), line)
        draw_thumbnails(strip, line, pictures)
        draw_weights(row(figure, heights, 7, LINE_IN), line)
        if line.ends_early:
            draw_lost_end(curve, line, end_words(clip, payloads.get("video")))
            draw_lost_end(strip, line)
    else:
        bare(curve)
        draw_or_say(curve, state, lambda: None, "video")
    side_in = sum(heights[3:-1])
    place = inches(figure, WIDTH_IN - RIGHT_IN - SIDE_IN, heights[-1], SIDE_IN, side_in)
    draw_fusion(figure.add_axes(place), clip, SIDE_IN, side_in)
    return figure


def state_words(clip: VideoQuality) -> str:
    """The video's state, and what it means unless all is well."""
    state = clip.status["video"]
    return state.name if state is Status.OK else f"{state.name}: {meaning(clip, state).split(': ')[-1]}"


def row(figure: Figure, heights: list[float], place: int, width_in: float) -> Axes:
    """Axes for one row of the picture, from its left margin on; heights count from the top."""
    return figure.add_axes(inches(figure, LEFT_IN, sum(heights[place + 1 :]), width_in, heights[place]))


def inches(
    figure: Figure, left: float, bottom: float, width: float, height: float
) -> tuple[float, float, float, float]:
    """A place in inches as the shares of the figure that matplotlib wants."""
    across, high = figure.get_size_inches()
    return left / across, bottom / high, width / across, height / high


def seen(video: Payload, line: Timeline) -> dict[int, Any]:
    """The frames that were looked at, as far as this machine can decode them."""
    try:
        return dict(read_frames(video, [frame.number for frame in line.frames])) if line.frames else {}
    except (ValueError, InvalidInput):
        return {}


def thumbnails_in(line: Timeline, pictures: Mapping[int, Any]) -> float:
    """Height of the thumbnails that fits the video's shape, within limits."""
    shape = median(frame.shape[1] / frame.shape[0] for frame in pictures.values()) if pictures else WIDE
    return float(min(max(line.column_in / shape, LOWEST_IN), HIGHEST_IN))


def draw_header(axes: Axes, clip: VideoQuality, title: str) -> None:
    """The clip's name, its score and what that is called, and where it lies on the scale."""
    axes.axis("off")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.text(0.0, 0.93, title or "video quality", fontsize=13, color=FAINT, va="center")
    if not clip.usable:
        colour = STATUS_COLOURS[clip.status["video"]]
        axes.text(0.0, 0.38, "no score", fontsize=34, weight="bold", color=colour, va="center")
        return
    colour = GRADE_COLOURS[clip.grade]
    verdict = f"{round(clip.score):d}  {clip.grade}"
    axes.text(0.0, 0.38, verdict, fontsize=34, weight="bold", color=colour, va="center")
    draw_scale(axes, clip.score, 0.5, 0.5)


def draw_scale(axes: Axes, score: float, left: float, width: float) -> None:
    """The scale in five colours, with a mark at the score."""
    axes.text(left + width, 0.93, "0 worst, 100 best", fontsize=10, color=FAINT, ha="right", va="center")
    fifth = width / len(GRADES)
    for place, grade in enumerate(GRADES):
        start, chosen = left + place * fifth, grade == GRADES[min(int(share_of(score) * 5), 4)]
        axes.add_patch(
            Rectangle(
                (start, 0.32),
                fifth - 0.003,
                0.15,
                facecolor=GRADE_COLOURS[grade],
                alpha=0.9 if chosen else 0.4,
            )
        )
        style: dict[str, Any] = (
            {"weight": "bold", "color": GRADE_COLOURS[grade]} if chosen else {"color": FAINT}
        )
        axes.text(start + fifth / 2, 0.17, grade, fontsize=10, ha="center", va="center", **style)
    axes.plot(left + width * share_of(score), 0.56, marker="v", markersize=11, color=INK, clip_on=False)


def end_words(clip: VideoQuality, video: Payload) -> str:
    """That the file ends here, and how long it was to be where its container says so."""
    try:
        whole_s = announced_s(video)
    except InvalidInput:
        whole_s = None
    if whole_s is None or whole_s < last_s(clip) + 1.0:
        return "the file ends here"
    return f"the file ends here, of {time_labels([whole_s])[0]}"
