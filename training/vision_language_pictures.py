"""What a vision-language model said and found, for a reader who was not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray
from torch import Tensor

from multimodal.vision_language.model import VisualLanguageModel
from training.easy_vqa import KINDS, EasyVqa
from training.vision_language_evaluate import embeddings
from training.vision_language_features import Pooled
from training.vision_language_heads import answers

INK, FAINT, WRONG = "#1b2a41", "#8492a6", "#c0392b"
ASKED, SEARCHED, RESULTS = 8, 3, 6


@dataclass(frozen=True)
class Question:
    """One photo (height, width, 3) uint8, what was asked, what is right, what was said and how surely."""

    photo: NDArray[np.uint8]
    text: str
    right: str
    said: str
    probability: float


@dataclass(frozen=True)
class Search:
    """One text and the photos that lie nearest to it; fits: whether the text is theirs."""

    text: str
    photos: tuple[NDArray[np.uint8], ...]
    cosines: tuple[float, ...]
    fits: tuple[bool, ...]


@dataclass(frozen=True)
class Shown:
    """What the picture shows; wrong answers come first, as far as there are any."""

    questions: tuple[Question, ...]
    searches: tuple[Search, ...]


def shown_of(model: VisualLanguageModel, data: EasyVqa, pooled: Pooled, classes: Sequence[str]) -> Shown:
    """Two wrong answers if there are as many, else right ones of every kind; the first texts."""
    said = answers(model, pooled)
    questions = tuple(
        Question(
            data.images[data.rows[row]],
            data.questions[row],
            classes[int(data.answers[row])],
            classes[int(said[row].argmax())],
            float(said[row].max()),
        )
        for row in _picked(said, data)
    )
    return Shown(questions, _searches(model, data, pooled))


def _picked(said: Tensor, data: EasyVqa) -> list[int]:
    wrong = np.flatnonzero(said.argmax(dim=1).numpy() != data.answers)[:2].tolist()
    kinds, answers_, taken = np.array(data.kinds), data.answers, {data.rows[row] for row in wrong}
    right: list[int] = []
    wanted = set(range(said.shape[1]))
    for row in range(len(kinds)):  # a photo and an answer once each, kinds in turn
        turn = KINDS[len(right) % len(KINDS)]
        fresh = data.rows[row] not in taken and kinds[row] == turn and int(answers_[row]) in wanted
        if fresh and row not in wrong and len(right) < ASKED - len(wrong):
            right.append(row)
            taken.add(data.rows[row])
            wanted.discard(int(answers_[row]))
    return [*wrong, *right]


def _searches(model: VisualLanguageModel, data: EasyVqa, pooled: Pooled) -> tuple[Search, ...]:
    photos, texts, which = embeddings(model, pooled)
    captions = pooled.captions[:, 0].unique()
    counts = np.bincount(which.numpy(), minlength=len(texts))
    found = []
    for text in np.argsort(-counts, kind="stable")[:SEARCHED]:  # texts of several photos show most
        cosines, best = (texts[text] @ photos.T).topk(min(RESULTS, len(photos)))
        found.append(
            Search(
                pooled.names[int(captions[text])],
                tuple(data.images[int(row)] for row in best),
                tuple(float(one) for one in cosines),
                tuple(bool(which[row] == text) for row in best),
            )
        )
    return tuple(found)


def draw_shown(shown: Shown, path: Path, title: str) -> Path:
    """Draw questions with their answers above searches with their photos as PNG; returns its path."""
    figure = Figure(figsize=(11.2, 9.6), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.012, ha="left", fontsize=12, color=INK)
    halves: Any = figure.subfigures(2, 1, height_ratios=[5, 6])
    _draw_questions(halves[0], shown.questions)
    _draw_searches(halves[1], shown.searches)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def _draw_questions(figure: SubFigure, questions: Sequence[Question]) -> None:
    axes = list(figure.subplots(2, ASKED // 2, squeeze=False).flat)
    for place in axes:
        place.set_axis_off()
    for place, one in zip(axes, questions, strict=False):
        _photo(place, one.photo)
        right = one.said == one.right
        said = f"{one.said}  {one.probability:.1%}" + ("" if right else f"  (right: {one.right})")
        place.set_title(one.text, fontsize=9, color=INK, loc="left")
        place.text(0, -0.1, said, transform=place.transAxes, fontsize=10, color=INK if right else WRONG)


def _draw_searches(figure: SubFigure, searches: Sequence[Search]) -> None:
    grid = figure.subplots(len(searches), RESULTS, squeeze=False)
    for row, one in zip(grid, searches, strict=True):
        for place in row:
            place.set_axis_off()
        for place, photo, cosine, fits in zip(row, one.photos, one.cosines, one.fits, strict=False):
            _photo(place, photo)
            colour = INK if fits else WRONG
            place.text(0, -0.13, f"{cosine:.3f}", transform=place.transAxes, fontsize=9, color=colour)
        row[0].set_title(f"nearest to “{one.text}”", fontsize=10, color=INK, loc="left")


def _photo(axes: Axes, photo: NDArray[np.uint8]) -> None:
    axes.imshow(photo, interpolation="nearest")
    height, width = photo.shape[:2]
    axes.plot(  # a thin frame: grounds are nearly white
        [-0.5, width - 0.5, width - 0.5, -0.5, -0.5],
        [-0.5, -0.5, height - 0.5, height - 0.5, -0.5],
        color=FAINT,
        lw=0.8,
        clip_on=False,
    )
