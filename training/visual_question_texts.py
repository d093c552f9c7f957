"""Texts to learn from: questions of easy-VQA with answers for any scene, and texts with one thing wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from training.easy_vqa import question_kind
from training.easy_vqa_captions import COLOURS, PLACES, SHAPES, SIZES, WORDINGS
from training.visual_question_pictures import Scene

# What a caption or a question can get wrong -> every word or phrase for it.
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "colour": tuple(COLOURS),
    "shape": tuple(SHAPES),
    "size": tuple(SIZES),
    "place": tuple(place for row in PLACES for place in row),
}
# What is asked, and how often.
SHARES = {
    ("yes/no", "colour"): 0.42,
    ("yes/no", "shape"): 0.32,
    ("shape", ""): 0.13,
    ("colour", ""): 0.13,
}
# Share of the yes/no questions that name what the picture has. The set asks for one of eight colours in half
# of its questions: a model that never finds one is right in 87 % of these, and ours was such a one. With a
# share of a half, neither finding a thing nor reading "not" is of use without the other: it learnt neither.
THERE = 0.3


def named(question: str) -> dict[str, str]:
    """The colour and the shape that a question names, each only where it does."""
    words = question.rstrip("?").split()
    found = {kind: [word for word in words if word in ATTRIBUTES[kind]] for kind in ("colour", "shape")}
    return {kind: hits[0] for kind, hits in found.items() if hits}


def answer_of(question: str, scene: Scene) -> str | None:
    """The right answer; None for a question that takes for granted what is not there."""
    kind, names = question_kind(question), named(question)
    fits = all(scene.words[name] == word for name, word in names.items())
    if kind == "yes/no":
        words = question.split()
        return "yes" if fits != ("not" in words or "no" in words) else "no"
    return scene.words[kind] if fits else None


class Asker:
    """Draws questions about scenes, of every kind as often as SHARES says.

    texts: the questions that there are
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = sorted(set(texts))
        self._known: dict[tuple[str, str], dict[tuple[str, str, bool], list[tuple[str, str]]]] = {}

    def ask(self, rng: np.random.Generator, scene: Scene) -> tuple[str, str]:
        """A question about the scene and its answer."""
        kind, about = list(SHARES)[rng.choice(len(SHARES), p=list(SHARES.values()))]
        fits = kind != "yes/no" or bool(rng.random() < THERE)
        found = self._about(scene)[kind, about, fits]
        return found[rng.integers(len(found))]

    def _about(self, scene: Scene) -> dict[tuple[str, str, bool], list[tuple[str, str]]]:
        """(what is asked for, what is named, whether the scene has it) -> questions with their answers."""
        key = (scene.colour, scene.shape)
        if key not in self._known:
            found: dict[tuple[str, str, bool], list[tuple[str, str]]] = defaultdict(list)
            for text in self.texts:
                answer, kind, names = answer_of(text, scene), question_kind(text), named(text)
                if answer is not None:
                    about = next(iter(names)) if kind == "yes/no" else ""
                    fits = all(scene.words[name] == word for name, word in names.items())
                    found[kind, about, fits].append((text, answer))
            self._known[key] = found
        return self._known[key]

    def pair(self, rng: np.random.Generator, scene: Scene) -> tuple[str, str]:
        """A text that goes with the scene, and the same with one thing wrong: caption or question.

        Questions go with a picture that has what they name, whatever their answer: "is there no red shape?"
        is about a red shape.
        """
        if rng.random() < 0.5:
            text = str(rng.choice(scene.captions))
            names = {kind: word for kind, word in scene.words.items() if word in text}
        else:
            text, names = self._naming(rng, scene)
        kind = str(rng.choice(list(names)))
        wrong = str(rng.choice([word for word in ATTRIBUTES[kind] if word != names[kind]]))
        return text, text.replace(names[kind], wrong)

    def _naming(self, rng: np.random.Generator, scene: Scene) -> tuple[str, dict[str, str]]:
        """A question that names something of the scene, and what."""
        while True:
            text = self.texts[rng.integers(len(self.texts))]
            names = named(text)
            if names and all(scene.words[kind] == word for kind, word in names.items()):
                return text, names


def told(rng: np.random.Generator, scene: Scene, count: int, wrong: float = 0.1) -> list[str]:
    """Captions in drawn wordings, as a captioner would tell them; wrong: share with one word drawn anew."""
    captions = []
    for wording in rng.choice(list(WORDINGS), count):
        words = scene.words
        if rng.random() < wrong:
            kind = str(rng.choice(["colour", "shape"]))
            words[kind] = str(rng.choice(ATTRIBUTES[kind]))
        captions.append(str(wording).format(**words))
    return captions
