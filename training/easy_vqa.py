"""easy-VQA, read where its package lies: 5,000 synthetic pictures and 48,248 questions about them.

Every picture is 64 x 64 and shows one shape (circle, rectangle or triangle) in one of eight colours on a
light ground; every question has one of thirteen answers. The package is data and twenty lines of code; it is
found, not imported. Source: github.com/vzhou842/easy-VQA, MIT.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

SIZE_PX = 64
SPLITS = ("train", "test")
KINDS = ("yes/no", "shape", "colour")


def package_folder() -> Path:
    """Where the package's data lie.

    raises ModuleNotFoundError naming the package where it is not installed
    """
    spec = importlib.util.find_spec("easy_vqa")
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        raise ModuleNotFoundError(
            "easy-VQA: expected the package easy-vqa, it is not installed; pip install easy-vqa==1.0"
        )
    return Path(places[0]) / "data"


def answer_names() -> tuple[str, ...]:
    """The thirteen answers in the package's order; an answer's index everywhere is its place here."""
    return tuple((package_folder() / "answers.txt").read_text().split())


def question_kind(question: str) -> str:
    """What a question asks for, one of KINDS: by its first word and whether it says "color"."""
    if not question.startswith("what"):
        return "yes/no"
    return "colour" if "color" in question.split() else "shape"


@dataclass(frozen=True)
class EasyVqa:
    """Pictures and the questions about them.

    pictures:  files, one a picture
    images:    (pictures, 64, 64, 3) uint8 RGB
    image_ids: (pictures,) int64, the number in the file's name
    questions: texts as shipped, lower case
    answers:   (questions,) int64, index in answer_names()
    rows:      (questions,) int64, which picture a question is about: its place in `images`
    """

    pictures: tuple[Path, ...]
    images: NDArray[np.uint8]
    image_ids: NDArray[np.int64]
    questions: tuple[str, ...]
    answers: NDArray[np.int64]
    rows: NDArray[np.int64]

    @property
    def kinds(self) -> tuple[str, ...]:
        """What each question asks for, see question_kind."""
        return tuple(question_kind(question) for question in self.questions)

    def every(self, step: int) -> EasyVqa:
        """Every step-th question, with the pictures that these are about."""
        if step < 1:
            raise ValueError(f"easy-VQA: expected every 1st question or more rarely, got every {step}")
        asked = np.arange(0, len(self.questions), step)
        pictures, rows = np.unique(self.rows[asked], return_inverse=True)
        return EasyVqa(
            tuple(self.pictures[index] for index in pictures),
            self.images[pictures],
            self.image_ids[pictures],
            tuple(self.questions[index] for index in asked),
            self.answers[asked],
            rows.astype(np.int64),
        )

    def only(self, pictures: Sequence[int] | NDArray[np.int64]) -> EasyVqa:
        """The chosen pictures, in that order, with the questions about them."""
        chosen = np.asarray(pictures, np.int64)
        place = np.full(len(self.images), -1)
        place[chosen] = np.arange(len(chosen))
        asked = np.flatnonzero(place[self.rows] >= 0)
        return EasyVqa(
            tuple(self.pictures[index] for index in chosen),
            self.images[chosen],
            self.image_ids[chosen],
            tuple(self.questions[index] for index in asked),
            self.answers[asked],
            place[self.rows[asked]],
        )


def load_split(name: str) -> EasyVqa:
    """Read an official split: "train" (4,000 pictures, 38,575 questions) or "test" (1,000 and 9,673)."""
    if name not in SPLITS:
        raise ValueError(f"easy-VQA: expected a split of {', '.join(SPLITS)}, got {name!r}; name one of them")
    folder = package_folder() / name
    pictures = sorted((folder / "images").glob("*.png"), key=lambda path: int(path.stem))
    ids = np.array([int(path.stem) for path in pictures], np.int64)
    place = {int(image_id): index for index, image_id in enumerate(ids)}
    names = {answer: index for index, answer in enumerate(answer_names())}
    asked = json.loads((folder / "questions.json").read_text())
    return EasyVqa(
        tuple(pictures),
        np.stack([np.asarray(Pillow.open(path).convert("RGB")) for path in pictures]),
        ids,
        tuple(question for question, _, _ in asked),
        np.array([names[answer] for _, answer, _ in asked], np.int64),
        np.array([place[image_id] for _, _, image_id in asked], np.int64),
    )


def split_off(data: EasyVqa, share: float = 0.1, seed: int = 0) -> tuple[EasyVqa, EasyVqa]:
    """Cut a part off by picture: (the rest to learn from, the part to choose by), no picture in both.

    The official test split is for the last word only; epochs and heads are chosen by this part of `train`.
    """
    if not 0 < share < 1:
        raise ValueError(f"easy-VQA: expected a share between 0 and 1, got {share}; 0.1 is the usual one")
    order = np.random.default_rng(seed).permutation(len(data.images))
    cut = round(len(order) * share)
    return data.only(np.sort(order[cut:])), data.only(np.sort(order[:cut]))
