"""The picture of an answered question: the image, what in it the question is about, and other evidence."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from textwrap import shorten, wrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._errors import InvalidInput
from ._heat_map import draw_scale, show_heat
from ._image_text_panels import (
    ANSWER,
    blank,
    draw_image,
    draw_words,
    fitted_words,
    keep_within,
    place,
    shorten_file,
    show_plain,
    title_state,
    words_of,
)
from ._panels import FAINT, INK, PAPER, STATUS_COLOURS, heading
from ._payloads import Payload
from ._results import Status
from ._states_report import meaning
from ._visual_answer import VisualAnswer
from ._visual_answer_report import counted

WIDTH_IN, HEIGHT_IN, MARGIN_IN = 15.0, 7.9, 0.5
QUESTION_IN = (9.3, 0.85)
PANEL_IN, GAP_IN, TOP_IN = 4.95, 0.4, 1.95
SIDE_IN = WIDTH_IN - 2 * MARGIN_IN - 2 * (PANEL_IN + GAP_IN)
CAPTION_LETTERS = 34
CAPTIONS_IN = 2.95  # from the top of the column; what follows them takes the rest
FIRST_IN, BETWEEN_IN, LINE_IN = 0.12, 0.13, 0.2
VERDICT_IN, VERDICT_PT, BOLD = 0.78, 34.0, 1.2  # bold letters are a fifth wider


def visual_answer_figure(told: VisualAnswer, payloads: Mapping[str, Payload], title: str) -> Figure:
    """The whole picture, 15 x 7.9 inches at 120 dots an inch."""
    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), dpi=120, facecolor=PAPER)
    draw_question(figure, told, payloads.get("question"), title)
    state, image = told.status["image"], payloads.get("image")
    left = place(figure, MARGIN_IN, TOP_IN, PANEL_IN, PANEL_IN)
    draw_image(left, image, state, show_plain)
    heading(left, "Image", None)
    title_state(left, "image", state)
    middle_in = MARGIN_IN + PANEL_IN + GAP_IN
    middle = place(figure, middle_in, TOP_IN, PANEL_IN, PANEL_IN)
    draw_image(middle, image, state, partial(show_heat, relevance=told.relevance))
    heading(middle, "What the question is about", None)
    if told.peak is not None:
        scale_in = PANEL_IN * 0.9
        draw_scale(
            figure, place(figure, middle_in + PANEL_IN * 0.05, TOP_IN + PANEL_IN + 0.2, scale_in, 0.13)
        )
    elif state.usable:
        note = "no part of the image stands out"
        middle.text(
            0.5, -0.04, note, transform=middle.transAxes, ha="center", va="top", color=FAINT, fontsize=10
        )
    side = place(figure, middle_in + PANEL_IN + GAP_IN, TOP_IN, SIDE_IN, PANEL_IN)
    draw_evidence(side, told)
    return figure


def draw_question(figure: Figure, told: VisualAnswer, question: Any, title: str) -> None:
    """The file's name, the question in full, its answer with the probability."""
    top = place(figure, MARGIN_IN, 0.25, WIDTH_IN - 2 * MARGIN_IN, 0.3)
    blank(top)
    top.text(0, 0.5, shorten_file(title) or "visual question", fontsize=13, color=FAINT, va="center")
    asked = place(figure, MARGIN_IN, 0.65, *QUESTION_IN)
    try:
        draw_words(asked, QUESTION_IN, words_of("question", question))
    except InvalidInput:  # the server judges words, this picture only shows them
        blank(asked)
    verdict_in = WIDTH_IN - 2 * MARGIN_IN - QUESTION_IN[0] - GAP_IN
    draw_verdict(place(figure, WIDTH_IN - MARGIN_IN - verdict_in, 0.3, verdict_in, 1.2), told, verdict_in)


def draw_verdict(axes: Axes, told: VisualAnswer, width_in: float) -> None:
    """The answer and its probability, or that there is none."""
    blank(axes)
    said, colour = (told.answer, ANSWER) if told.answer else ("no answer", STATUS_COLOURS[Status.CORRUPT])
    points, lines = fitted_words(said, width_in / BOLD, VERDICT_IN, VERDICT_PT)
    style: dict[str, Any] = {"ha": "right", "weight": "bold", "color": colour, "linespacing": 1.1}
    keep_within(axes.text(1, 0.34, "\n".join(lines), fontsize=points, va="bottom", **style), width_in)
    if told.answer:
        share = f"with probability {told.probability:.1%}"
        axes.text(1, 0.2, share, fontsize=12, color=FAINT, ha="right", va="center")


def draw_evidence(axes: Axes, told: VisualAnswer) -> None:
    """The captions, what they alone say, how well image and question match, the state of the question."""
    axes.axis("off")
    axes.set(xlim=(0, SIDE_IN), ylim=(PANEL_IN, 0))
    heading(axes, "Captions used", None)
    for down_in, lines in listed(counted(told.captions), CAPTIONS_IN):
        style: dict[str, Any] = {"fontsize": 10.5, "color": INK, "va": "top", "linespacing": 1.25}
        keep_within(axes.text(0.0, down_in, "\n".join(lines), **style), SIDE_IN)
    if told.answer:
        fact(axes, CAPTIONS_IN, "Answer from the captions alone", told.caption_answer or "none")
        fact(axes, CAPTIONS_IN + 0.62, "Image fits question", f"{told.matching_score:.1%}")
    state = told.status["question"]
    words = state.name if state is Status.OK else f"{state.name}: {meaning('question', state)}"
    axes.text(0, CAPTIONS_IN + 1.24, "Question", fontsize=10, color=FAINT, va="top")
    style = {"fontsize": 9.5, "weight": "bold", "color": STATUS_COLOURS[state], "va": "top"}
    axes.text(0, CAPTIONS_IN + 1.44, "\n".join(wrap(words, CAPTION_LETTERS)), **style)


def listed(captions: list[str], height_in: float) -> list[tuple[float, list[str]]]:
    """The captions that there is room for, each as (inches from the top, lines), and how many others come."""
    placed: list[tuple[float, list[str]]] = []
    down_in = FIRST_IN
    for number, caption in enumerate(captions or ["none"]):
        lines = wrap(caption, CAPTION_LETTERS, max_lines=2, placeholder=" …")
        next_in = down_in + BETWEEN_IN + LINE_IN * len(lines)
        if next_in > height_in - (BETWEEN_IN + LINE_IN) and number < len(captions) - 1:
            return [*placed, (down_in, [f"and {len(captions) - number} others"])]
        placed.append((down_in, lines))
        down_in = next_in
    return placed


def fact(axes: Axes, down_in: float, name: str, value: str) -> None:
    """A name, and its value in bold below."""
    axes.text(0, down_in, name, fontsize=10, color=FAINT, va="top")
    style: dict[str, Any] = {"fontsize": 13, "weight": "bold", "color": INK, "va": "top"}
    keep_within(axes.text(0, down_in + 0.2, shorten(value, 40, placeholder=" …"), **style), SIDE_IN)
