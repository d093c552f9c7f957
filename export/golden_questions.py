"""Items of the golden sets of photos and texts: questions of easy-VQA that no training has seen."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from export.golden_network import Network
from training.easy_vqa import EasyVqa, answer_names, load_split

Arrays = dict[str, np.ndarray]

PER_ANSWER = 4  # of 13 answers: 52 complete items, and a check takes half a minute
ALONE = 3  # photos without a text, and as many texts without a photo
REPEATS = 40  # of a question, until no row of tokens holds it


@dataclass(frozen=True)
class QuestionItem:
    """One request: the bytes of a photo and a text, either of which may be empty.

    text:  what the pipeline calls the text
    label: index of the right answer in easy-VQA's order
    damage: the modality whose payload is cut off or too long, empty where none is
    """

    id: str
    label: int
    image: bytes
    question: bytes
    text: str = "text"
    damage: str = ""

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those that are sent, photo first."""
        sent = {"image": self.image, self.text: self.question}
        return tuple(name for name, payload in sent.items() if payload)

    def describe(self) -> dict[str, object]:
        """Its line in golden.json; complete: both are whole, so the answer has to be right."""
        return {
            "id": self.id,
            "label": self.label,
            "modalities": list(self.modalities),
            "damage": self.damage,
            "complete": len(self.modalities) == 2 and not self.damage,
        }

    def inputs(self) -> Arrays:
        """Request tensors by ensemble input, no batch axis: bytes as uint8."""
        payloads = {"image": self.image, self.text: self.question}
        return {name: np.frombuffer(payload, np.uint8) for name, payload in payloads.items()}


Replies = Callable[[Sequence[QuestionItem], Network], Iterator[Arrays]]


@dataclass(frozen=True)
class QuestionSet:
    """Entry of `export.golden.GOLDEN`.

    text:   what the pipeline calls the text
    replies: what PyTorch answers
    alone:  whether a photo or a text alone is a request
    fusions: whether another fusion than the preset's own may answer
    """

    preset: str
    text: str
    replies: Replies
    alone: bool = False
    fusions: bool = False

    def options(self, parser: argparse.ArgumentParser) -> None:
        """How many, and which fusion answers."""
        parser.add_argument(
            "--per-answer",
            type=int,
            metavar="N",
            help=f"default: what the set in --out has, else {PER_ANSWER}",
        )
        if self.fusions:
            parser.add_argument("--fusion", metavar="NAME", help="that answers; default: the preset's own")

    def made_from(self, typed: argparse.Namespace, known: Mapping[str, Any]) -> dict[str, Any]:
        """What decides the items, beside the seed: typed, else as in the set that is there."""
        count = typed.per_answer if typed.per_answer is not None else known.get("per_answer", PER_ANSWER)
        if count < 1:
            raise ValueError(f"--per-answer: expected at least 1, got {count}")
        return {"per_answer": count}

    def facts(self) -> dict[str, Any]:
        """Names of the answers; none of them is the normal one."""
        return {"class_names": list(answer_names()), "normal": None}

    def choose(self, made_from: Mapping[str, Any], work: Path) -> list[QuestionItem]:
        """Questions of the official test split, as many of every answer, and some that miss or break a part.

        errors: ModuleNotFoundError naming the package where the questions are not installed
        """
        data = load_split("test")
        rng = np.random.default_rng([made_from["seed"], len(answer_names())])
        whole: list[QuestionItem] = []
        for label in range(len(answer_names())):
            asked = np.flatnonzero(data.answers == label)
            for question in sorted(rng.permutation(asked)[: made_from["per_answer"]].tolist()):
                whole.append(self._whole(data, question, len(whole)))
        picked = [whole[int(place)] for place in rng.permutation(len(whole))[: 2 * ALONE + 2]]
        return [*whole, *self._in_part(picked)]

    def item(self, line: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> QuestionItem:
        """An item from its files."""
        image, question = (tensors[name].tobytes() for name in ("image", self.text))
        return QuestionItem(line["id"], line["label"], image, question, self.text, line["damage"])

    def answers(self, items: Sequence[QuestionItem], network: Network) -> Iterator[Arrays]:
        """What PyTorch answers to each item, by ensemble output name."""
        return self.replies(items, network)

    def _whole(self, data: EasyVqa, question: int, number: int) -> QuestionItem:
        label, picture = int(data.answers[question]), int(data.rows[question])
        name = f"{number:03d}-{answer_names()[label]}-{data.image_ids[picture]}"
        image = data.pictures[picture].read_bytes()
        return QuestionItem(name, label, image, data.questions[question].encode(), self.text)

    def _in_part(self, items: Sequence[QuestionItem]) -> Iterator[QuestionItem]:
        """A photo that ends half way, a text that is too long, and, where that is a request, one without the
        other.
        """
        cut, long, *others = items
        half = cut.image[: len(cut.image) // 2]
        yield replace(cut, id=f"900-cut-off-{cut.id}", image=half, damage="image")
        asked = b" ".join([long.question] * REPEATS)
        yield replace(long, id=f"901-too-long-{long.id}", question=asked, damage=self.text)
        for place, item in enumerate(others if self.alone else ()):
            if place < ALONE:
                yield replace(item, id=f"{902 + place}-only-image-{item.id}", question=b"")
            else:
                yield replace(item, id=f"{902 + place}-only-{self.text}-{item.id}", image=b"")
