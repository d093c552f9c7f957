"""How good a question answering model is on pictures it has not seen: answers, captions, where it looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from transformers import BlipForImageTextRetrieval

from multimodal.visual_question.blip import BlipPixels, build_blips
from multimodal.visual_question.build import settings_of
from multimodal.visual_question.plug_and_play import PNPVQAFusion
from multimodal.visual_question.presets import VisualQuestionPreset
from multimodal.visual_question.relevance_graph import RelevanceGraph
from multimodal.visual_question.tokenizer import build_tokenizer
from training.easy_vqa import KINDS, EasyVqa, answer_names
from training.easy_vqa_captions import cells_of, describe_all, with_neighbours
from training.visual_question_lessons import Texts
from training.visual_question_pictures import Scene, scene_of
from training.visual_question_texts import ATTRIBUTES, named

Right = NDArray[np.bool_]
BATCH = 250  # questions or pictures at once: what fits into a few hundred megabytes


@dataclass(frozen=True)
class Looking:
    """Where the peak of the map is, over some questions.

    on:     share of peaks on a patch with some of the shape; near: on one or on a neighbour of one
    chance: of a random patch to be near; on_chance: to be on
    """

    questions: int
    on: float
    near: float
    on_chance: float
    chance: float


@dataclass(frozen=True)
class VisualQuestionEvaluation:
    """All figures of a card; shares in 0..1.

    visual, text:  right answers by kind of question, and of "all"
    text_questions: how many were asked in text mode
    controls:      what was changed -> right answers in visual mode
    captions_right, captions_false: name the right shape and colour; name a wrong one of either
    looking:       over which questions -> where the map peaks; or of what else
    matching:      questions that name something, called a match exactly where the picture has it
    held_back:     right answers in visual mode about the pictures that chose
    gate:          how much of the fusion is added, tanh of the gate
    """

    questions: int
    visual: dict[str, float]
    text: dict[str, float]
    text_questions: int
    controls: dict[str, float]
    captions_right: float
    captions_false: float
    looking: dict[str, Looking]
    matching: float
    held_back: float
    gate: float
    parameters: int

    def as_dict(self) -> dict[str, Any]:
        """For a JSON file."""
        return asdict(self)


@dataclass(frozen=True)
class Seen:
    """Tokens of pictures, (pictures, 1 + patches, width) each."""

    matching: Tensor
    captioning: Tensor
    fused: Tensor


class Judge:
    """Asks a model what a set asks about its pictures."""

    def __init__(self, model: PNPVQAFusion, preset: VisualQuestionPreset, tokenizer: Tokenizer) -> None:
        self.model, self.preset, self.tokenizer = model, preset, tokenizer
        self.settings = settings_of(preset, model, tokenizer)
        self.pixels = BlipPixels()
        self.names = np.array(answer_names())

    @torch.no_grad()
    def see(self, images: NDArray[np.uint8]) -> Seen:
        """Encode pictures (pictures, side, side, 3) with both models, and fuse."""
        parts = []
        for start in range(0, len(images), BATCH):
            pixels = self.pixels(torch.from_numpy(images[start : start + BATCH])[:, None])
            matching = self.model.itm.vision_model(pixels).last_hidden_state
            captioning = self.model.captioner.vision_model(pixels).last_hidden_state
            parts.append((matching, captioning, self.model.fuse(matching, captioning)[0]))
        return Seen(*(torch.cat(streams) for streams in zip(*parts, strict=True)))

    def texts(self, questions: Sequence[str]) -> Texts:
        """Questions as the tokenizer of the server cuts and fills them."""
        length = self.preset.question_length
        ids = torch.zeros(len(questions), length, dtype=torch.int64) + self.preset.text.tokens.pad
        mask = torch.zeros_like(ids)
        for row, encoding in enumerate(self.tokenizer.encode_batch(list(questions))):
            ids[row, : len(encoding.ids)] = torch.tensor(encoding.ids)
            mask[row, : len(encoding.ids)] = 1
        return Texts(ids, mask)

    def visual(self, data: EasyVqa, tokens: Tensor | None = None) -> Right:
        """Which questions are answered right from fused tokens; tokens: others than those of the pictures."""
        fused = self.see(data.images).fused if tokens is None else tokens
        said: list[str] = []
        for rows in _batches(len(data.questions)):
            texts = self.texts([data.questions[row] for row in rows])
            answers, _ = self.model.answer_visually(
                fused[data.rows[rows]], texts.ids, texts.mask, self.settings.answer, self.tokenizer
            )
            said += answers
        return np.array(said) == self.names[data.answers]

    @torch.no_grad()
    def from_matching(self, seen: Seen) -> Tensor:
        """Fused tokens (pictures, 1 + patches, width) of pictures that the captioner does not see."""
        return self.model.fuse(seen.matching, torch.zeros_like(seen.captioning))[0]

    def both_ways(self, data: EasyVqa) -> float:
        """Share of right answers, half of them without the captioner's tokens."""
        seen = self.see(data.images)
        whole, fused_alone = self.visual(data, seen.fused), self.visual(data, self.from_matching(seen))
        return float(whole.mean() + fused_alone.mean()) / 2

    @torch.no_grad()
    def maps(
        self, data: EasyVqa, seen: Seen, matching: BlipForImageTextRetrieval | None = None
    ) -> tuple[Tensor, Tensor]:
        """Relevance (questions, grid, grid) and score of the match (questions,) of every question.

        matching: whose text encoder reads; the model's own when left out
        """
        reading = RelevanceGraph(matching or self.model.itm, self.model.relevance_layer)
        heats, scores = [], []
        for rows in _batches(len(data.questions)):
            texts = self.texts([data.questions[row] for row in rows])
            asked = self.model.encoded_with_image(texts.ids)
            heat, score = reading(seen.matching[data.rows[rows]], asked, texts.mask)
            heats.append(heat.unflatten(1, (self.preset.grid, self.preset.grid)))
            scores.append(score[:, 0])
        return torch.cat(heats), torch.cat(scores)

    def captions(self, data: EasyVqa, seen: Seen, heats: Tensor, rows: Sequence[int]) -> list[list[str]]:
        """Captions for some of the questions."""
        told: list[list[str]] = []
        for part in _batches(len(rows)):
            chosen = [rows[place] for place in part]
            texts = self.texts([data.questions[row] for row in chosen])
            told += self.model.caption(
                seen.fused[data.rows[chosen]], heats[chosen], texts.ids, self.settings, self.tokenizer
            )
        return told

    def read(self, data: EasyVqa, rows: Sequence[int], captions: Sequence[Sequence[str]]) -> Right:
        """Which of some questions are answered right from their captions alone."""
        said: list[str] = []
        for part in _batches(len(rows)):
            answers, _ = self.model.answer_from_text(
                [data.questions[rows[place]] for place in part],
                [captions[place] for place in part],
                self.settings,
                self.tokenizer,
            )
            said += answers
        return np.array(said) == self.names[data.answers[list(rows)]]


def _batches(count: int) -> list[range]:
    return [range(start, min(start + BATCH, count)) for start in range(0, count, BATCH)]


def evaluate_model(
    model: PNPVQAFusion, preset: VisualQuestionPreset, data: EasyVqa, held: EasyVqa, every: int = 5
) -> VisualQuestionEvaluation:
    """Judge on `data`; held: pictures that chose; every: which of the questions are captioned and read."""
    judge = Judge(model, preset, build_tokenizer(preset))
    shown = describe_all(data.images)
    scenes = [scene_of(depicted) for depicted in shown]
    seen = judge.see(data.images)
    right = judge.visual(data, seen.fused)
    heats, scores = judge.maps(data, seen)
    rows = list(range(0, len(data.questions), every))
    captions = judge.captions(data, seen, heats, rows)
    true, false = caption_shares([scenes[data.rows[row]] for row in rows], captions)
    there, names_something = _named_there(data, scenes)
    order = np.random.default_rng(0).permutation(len(data.images))
    peaks = Peaks(data, [depicted.mask for depicted in shown])
    return VisualQuestionEvaluation(
        questions=len(data.questions),
        visual=_by_kind(data, right),
        text=_by_kind(data, judge.read(data, rows, captions), rows),
        text_questions=len(rows),
        controls={
            "the captioner's tokens alone (gate 0)": float(judge.visual(data, seen.captioning).mean()),
            "the matching model's alone, through the fusion": float(
                judge.visual(data, judge.from_matching(seen)).mean()
            ),
            "pictures shuffled": float(judge.visual(data, seen.fused[order]).mean()),
        },
        captions_right=true,
        captions_false=false,
        looking={
            "all": peaks.of(heats),
            "naming what the picture has": peaks.of(heats, names_something & there),
            "naming what it has not": peaks.of(heats, names_something & ~there),
            "naming neither shape nor colour": peaks.of(heats, ~names_something),
            "all, of a text encoder that has learnt nothing": peaks.of(
                judge.maps(data, seen, _untrained(preset))[0]
            ),
        },
        matching=float(((scores.numpy() > 0.5) == there)[names_something].mean()),
        held_back=float(judge.visual(held).mean()),
        gate=float(torch.tanh(model.gate.detach())),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
    )


def _untrained(preset: VisualQuestionPreset) -> BlipForImageTextRetrieval:
    """How much of a map is in the picture's own features: a shape stands out to any reader."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_blips(preset)[0].eval()


def caption_shares(scenes: Sequence[Scene], captions: Sequence[Sequence[str]]) -> tuple[float, float]:
    """Shares of captions that name the right shape and colour, and that name a wrong one of either."""
    true, false = [], []
    for scene, lines in zip(scenes, captions, strict=True):
        for line in lines:
            words = set(line.split())
            true.append({scene.shape, scene.colour} <= words)
            wrong = {*ATTRIBUTES["shape"], *ATTRIBUTES["colour"]} - {scene.shape, scene.colour}
            false.append(bool(words & wrong))
    return float(np.mean(true)), float(np.mean(false))


def _by_kind(data: EasyVqa, right: Right, rows: Sequence[int] | None = None) -> dict[str, float]:
    kinds = np.array(data.kinds)[list(rows) if rows is not None else slice(None)]
    shares = {kind: float(right[kinds == kind].mean()) for kind in KINDS if (kinds == kind).any()}
    return {"all": float(right.mean()), **shares}


def _named_there(data: EasyVqa, scenes: Sequence[Scene]) -> tuple[Right, Right]:
    """Whether the picture has all that a question names, and whether it names anything."""
    names = [named(question) for question in data.questions]
    there = [
        all(scenes[row].words[kind] == word for kind, word in found.items())
        for found, row in zip(names, data.rows, strict=True)
    ]
    return np.array(there), np.array([bool(found) for found in names])


class Peaks:
    """Where maps peak, by the shapes that the pictures of a set really have; masks: a picture's each."""

    def __init__(self, data: EasyVqa, masks: Sequence[Right]) -> None:
        self.rows, self.masks = data.rows, masks

    def of(self, heats: Tensor, chosen: Right | None = None) -> Looking:
        """heats: (questions, grid, grid); chosen: (questions,) bool, all of them when left out."""
        cells = np.stack([cells_of(mask, heats.shape[-1]) for mask in self.masks])  # (pictures, grid, grid)
        rings = np.stack([with_neighbours(one) for one in cells])
        on, near = (part.reshape(len(self.masks), -1)[self.rows] for part in (cells, rings))
        peak = heats.flatten(1).argmax(dim=1).numpy()
        asked = np.arange(len(peak)) if chosen is None else np.flatnonzero(chosen)
        if not len(asked):
            raise ValueError("peaks: expected some questions to look at, got none; give a larger set")
        return Looking(
            len(asked),
            float(on[asked, peak[asked]].mean()),
            float(near[asked, peak[asked]].mean()),
            float(on[asked].mean()),
            float(near[asked].mean()),
        )
