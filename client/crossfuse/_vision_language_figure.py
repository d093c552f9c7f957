"""The picture of an image and a text: what the answers are, and how near the two are to each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ._errors import InvalidInput
from ._image_text_panels import (
    ANSWER,
    blank,
    draw_image,
    draw_words,
    place,
    shorten_file,
    show_plain,
    title_state,
    words_of,
)
from ._panels import EMPTY, FAINT, INK, PAPER, heading
from ._payloads import Payload
from ._states_report import meaning
from ._vision_language import VisionLanguage
from ._vision_language_report import embedding_words

WIDTH_IN, HEIGHT_IN, MARGIN_IN = 15.0, 8.1, 0.5
TOP_IN, PANEL_IN, GAP_IN = 1.95, 5.6, 0.75
SIDE_IN = WIDTH_IN - 2 * MARGIN_IN - PANEL_IN - GAP_IN
TEXT_IN, BARS_IN = 0.95, 2.95
MOST_BARS = 13
OTHERS = "#b8c2cc"


def vision_language_figure(pair: VisionLanguage, payloads: Mapping[str, Payload], title: str) -> Figure:
    """The whole picture, 15 x 8.1 inches at 120 dots an inch."""
    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), dpi=120, facecolor=PAPER)
    draw_verdict(place(figure, MARGIN_IN, 0.2, WIDTH_IN - 2 * MARGIN_IN, 1.3), pair, title)
    image = place(figure, MARGIN_IN, TOP_IN, PANEL_IN, PANEL_IN)
    draw_image(image, payloads.get("image"), pair.status["image"], show_plain)
    heading(image, "Image", None)
    title_state(image, "image", pair.status["image"])
    side_in = MARGIN_IN + PANEL_IN + GAP_IN
    draw_text(place(figure, side_in, TOP_IN, SIDE_IN, TEXT_IN), pair, payloads.get("text"))
    draw_bars(place(figure, side_in, TOP_IN + TEXT_IN + 0.5, SIDE_IN, BARS_IN), pair)
    draw_similarity(place(figure, side_in, TOP_IN + PANEL_IN - 0.75, SIDE_IN, 0.75), pair)
    return figure


def draw_verdict(axes: Axes, pair: VisionLanguage, title: str) -> None:
    """The file's name, the answer, what came back to search with."""
    blank(axes)
    axes.text(0, 0.93, shorten_file(title) or "vision language", fontsize=13, color=FAINT, va="center")
    said = "no answer" if pair.answer is None else f"{pair.answer}  {pair.probability:.0%}"
    colour = FAINT if pair.answer is None else ANSWER
    axes.text(0, 0.38, said, fontsize=34, weight="bold", color=colour, va="center")
    axes.text(1, 0.93, "embeddings", fontsize=10, color=FAINT, ha="right", va="center")
    axes.text(
        1, 0.66, ", ".join(embedding_words(pair)) or "none", fontsize=11, color=INK, ha="right", va="center"
    )


def draw_text(axes: Axes, pair: VisionLanguage, payload: Any) -> None:
    """The text in full, or that there is none."""
    try:
        said = words_of("text", payload)
    except InvalidInput:  # the server judges words, this picture only shows them
        said = ""
    if said:
        draw_words(axes, (SIDE_IN, TEXT_IN), said)
    else:
        say(axes, f"text: {meaning('text', pair.status['text'])}")
    heading(axes, "Text", None)
    title_state(axes, "text", pair.status["text"])


def say(axes: Axes, words: str) -> None:
    """Why a panel is empty."""
    blank(axes)
    axes.add_patch(Rectangle((0, 0), 1, 1, facecolor=EMPTY))
    axes.text(0.5, 0.5, words, fontsize=11, color=FAINT, ha="center", va="center")


def draw_bars(axes: Axes, pair: VisionLanguage) -> None:
    """Every answer as a bar, most probable first."""
    heading(axes, "Answers", None)
    axes.axis("off")
    if not pair.probabilities:
        say(axes, "an answer takes an image and a text")
        return
    shown = list(pair.probabilities.items())[:MOST_BARS]
    axes.set(xlim=(-0.17, 1.1), ylim=(max(len(shown), 5) - 0.4, -0.6))
    for line, (name, share) in enumerate(shown):
        style: dict[str, Any] = {"fontsize": 10, "va": "center", "weight": "bold" if line == 0 else "normal"}
        axes.add_patch(Rectangle((0, line - 0.36), 1, 0.72, facecolor=EMPTY))
        axes.add_patch(Rectangle((0, line - 0.36), share, 0.72, facecolor=ANSWER if line == 0 else OTHERS))
        axes.text(-0.015, line, name, color=INK, ha="right", **style)
        axes.text(1.015, line, f"{share:.1%}", color=INK, **style)


def draw_similarity(axes: Axes, pair: VisionLanguage) -> None:
    """The cosine of the two embeddings on its scale from -1 to 1."""
    heading(axes, "Similarity of image and text", None)
    if pair.similarity is None:
        say(axes, "a similarity takes an image and a text")
        return
    axes.axis("off")
    axes.set(xlim=(-1.34, 1.2), ylim=(0, 1))
    axes.add_patch(Rectangle((-1, 0.5), 2, 0.2, facecolor=EMPTY))
    for value, words in ((-1, "-1 opposite"), (0, "0 unrelated"), (1, "1 alike")):
        axes.plot([value, value], [0.45, 0.75], color=FAINT, lw=1)
        axes.text(value, 0.3, words, fontsize=9.5, color=FAINT, ha="center", va="center")
    axes.add_patch(Rectangle((min(0.0, pair.similarity), 0.5), abs(pair.similarity), 0.2, facecolor=ANSWER))
    axes.plot(pair.similarity, 0.85, marker="v", markersize=10, color=INK, clip_on=False)
    axes.text(
        pair.similarity + 0.04,
        0.92,
        f"{pair.similarity:.2f}",
        fontsize=11,
        color=INK,
        weight="bold",
        va="center",
    )
