"""`visual_question_answering` on easy-VQA: both answers, captions, and where the heat map has its peak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn

from benchmarks.accuracy import SEED, Infer, ask_all, batches, judged, other_pictures
from multimodal.visual_question.build import build_visual_question, settings_of
from multimodal.visual_question.generation import GenerationSettings
from multimodal.visual_question.plug_and_play import PNPVQAFusion
from multimodal.visual_question.presets import VISUAL_QUESTION_PRESETS, VisualQuestionPreset
from multimodal.visual_question.served import served_part
from multimodal.visual_question.tokenizer import load_tokenizer
from training.easy_vqa import EasyVqa
from training.easy_vqa_captions import COLOURS, SHAPES, Depicted, cells_of, describe_all, with_neighbours
from training.photo_text_decoding import TextReader, decode_pair

BATCH = 32
VISION = ("matching_encoder", "caption_encoder", "fusion", "relevance")


@dataclass(frozen=True)
class Said:
    """Everything that is said to questions, in their order.

    heat: (questions, grid, grid) float32
    """

    answers: list[str]
    from_text: list[str]
    captions: list[list[str]]
    heat: NDArray[np.float32]


@dataclass(frozen=True)
class VisualQuestionReference:
    """The network in PyTorch, and how its inputs are read."""

    preset: VisualQuestionPreset
    model: PNPVQAFusion
    parts: dict[str, nn.Module]
    tokenizer: Tokenizer
    settings: GenerationSettings

    @classmethod
    def load(cls, preset: str, weights: Path | None) -> VisualQuestionReference:
        """The network of a preset; None leaves it random."""
        sizes = VISUAL_QUESTION_PRESETS[preset]
        model = build_visual_question(sizes, weights)
        tokenizer = load_tokenizer(sizes, weights)
        parts = {part: served_part(model, part) for part in VISION}
        return cls(sizes, model, parts, tokenizer, settings_of(sizes, model, tokenizer))

    def measure(self, infer: Infer, asked: EasyVqa) -> dict[str, Any]:
        """Both answers, captions and heat maps of server and PyTorch, and their differences."""
        files = [path.read_bytes() for path in asked.pictures]
        matching, fused = self.pictures(files)
        own = self.say(matching, fused, asked)
        requests = [
            {"image": files[row], "question": text}
            for row, text in zip(asked.rows, asked.questions, strict=True)
        ]
        served = _said(ask_all(infer, requests, "questions"))
        shuffled = self.answers(fused, other_pictures(asked), asked.questions)
        depicted = describe_all(asked.images)
        heat = {"server": served.heat, "pytorch": own.heat, "untrained": untrained_heat(self.preset, asked)}
        found = {
            "server": judged(asked, served.answers),
            "pytorch": judged(asked, own.answers),
            "text_mode": {
                "server": judged(asked, served.from_text),
                "pytorch": judged(asked, own.from_text),
            },
            "captions": {
                "server": caption_figures(served.captions, asked, depicted),
                "pytorch": caption_figures(own.captions, asked, depicted),
            },
            "heat_map": heat_figures(heat, asked, depicted),
            "differences": differences(served, own),
            "controls": {"shuffled_images": judged(asked, shuffled)},
        }
        return found | {"remarks": remarks(found)}

    @torch.no_grad()
    def pictures(self, files: Sequence[bytes]) -> tuple[Tensor, Tensor]:
        """Matching tokens and fused tokens of photos, each (photos, 1 + patches, width)."""
        reader = self._reader()
        found = []
        for rows in batches(len(files), BATCH, "PyTorch, images"):
            pixels = torch.from_numpy(
                np.stack(
                    [decode_pair(file, b"", self.preset.image_px, reader).pixels for file in files[rows]]
                )
            )
            valid = torch.ones(len(pixels), 1, dtype=torch.bool)
            matching = self.parts["matching_encoder"](pixels, valid)
            captions = self.parts["caption_encoder"](pixels, valid)
            found.append((matching, self.parts["fusion"](matching, captions, valid)))
        matching, fused = (torch.cat(column) for column in zip(*found, strict=True))
        return matching, fused

    def say(self, matching: Tensor, fused: Tensor, asked: EasyVqa) -> Said:
        """All that PyTorch says to the questions; matching, fused: of the pictures."""
        said = Said([], [], [], np.zeros((len(asked.questions), *(self.preset.grid,) * 2), np.float32))
        for rows in batches(len(asked.questions), BATCH, "PyTorch"):
            seen, questions = asked.rows[rows], asked.questions[rows]
            ids, mask = self._tokens(questions)
            heat = self._heat(matching[seen], ids, mask)
            captions = self.model.caption(fused[seen], heat, ids, self.settings, self.tokenizer)
            said.heat[rows] = heat.numpy()
            said.captions.extend([line for line in lines if line] for lines in captions)
            said.answers.extend(self._answers(fused[seen], ids, mask))
            said.from_text.extend(
                self.model.answer_from_text(questions, captions, self.settings, self.tokenizer)[0]
            )
        return said

    def answers(self, fused: Tensor, pictures: NDArray[np.int64], questions: Sequence[str]) -> list[str]:
        """Answers from the fused tokens of the given pictures, one for each question."""
        said: list[str] = []
        for rows in batches(len(questions), BATCH, "other pictures"):
            said += self._answers(fused[pictures[rows]], *self._tokens(questions[rows]))
        return said

    @torch.no_grad()
    def _heat(self, matching: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        valid = torch.ones(len(ids), 1, dtype=torch.bool)
        return self.parts["relevance"](matching, ids, mask, valid, valid)[0]

    def _answers(self, fused: Tensor, ids: Tensor, mask: Tensor) -> list[str]:
        return self.model.answer_visually(fused, ids, mask, self.settings.answer, self.tokenizer)[0]

    def _reader(self) -> TextReader:
        return TextReader(self.tokenizer, self.preset.question_length)

    def _tokens(self, questions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """input_ids and attention_mask as served: cut and padded to the preset's length."""
        read = list(map(self._reader(), (question.encode() for question in questions)))
        return (
            torch.from_numpy(np.stack([one.input_ids for one in read])),
            torch.from_numpy(np.stack([one.attention_mask for one in read])),
        )


def _said(answers: Sequence[Any]) -> Said:
    return Said(
        [one.answer for one in answers],
        [one.caption_answer for one in answers],
        [list(one.captions) for one in answers],
        np.stack([one.relevance for one in answers]),
    )


def untrained_heat(preset: VisualQuestionPreset, asked: EasyVqa) -> NDArray[np.float32]:
    """Heat maps of the same network with seeded random weights, (questions, grid, grid).

    A control that chance is not: the one shape on an even ground stands out to weights that know nothing
    """
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        blank = VisualQuestionReference.load(preset.name, None)
    matching, _ = blank.pictures([path.read_bytes() for path in asked.pictures])
    maps = [
        blank._heat(matching[asked.rows[rows]], *blank._tokens(asked.questions[rows])).numpy()
        for rows in batches(len(asked.questions), BATCH, "untrained")
    ]
    return np.concatenate(maps)


def differences(served: Said, own: Said) -> dict[str, Any]:
    """Of how many questions the two say something else; the largest difference of a heat map."""
    peaks = [heat.reshape(len(heat), -1).argmax(1) for heat in (served.heat, own.heat)]
    return {
        **{
            name: sum(
                one != other for one, other in zip(getattr(served, name), getattr(own, name), strict=True)
            )
            for name in ("answers", "from_text", "captions")
        },
        "peaks": int((peaks[0] != peaks[1]).sum()),
        "largest_of_heat": float(np.abs(served.heat - own.heat).max()),
        "largest_heat": float(own.heat.max()),
    }


def is_shown(question: str, depicted: Depicted) -> bool:
    """Whether a question is about the shape that is there: it names it, by shape or colour, or asks "what".

    "is there a red circle?" of a blue square is not: nothing in the picture is what it names
    """
    words = set(question.strip("?").split())
    return "what" in words or bool({depicted.shape, depicted.colour} & words)


def caption_figures(
    captions: Sequence[Sequence[str]], asked: EasyVqa, depicted: Sequence[Depicted]
) -> dict[str, Any]:
    """Captions, how many of them name shapes or colours, and the share of these that name no wrong one."""
    naming = right = total = 0
    for lines, row in zip(captions, asked.rows, strict=True):
        there = {depicted[row].shape, depicted[row].colour}
        for line in lines:
            named = set(line.split()) & (set(COLOURS) | set(SHAPES))
            total += 1
            naming += bool(named)
            right += bool(named) and named <= there
    return {"captions": total, "naming": naming, "right": right / naming if naming else None}


def heat_figures(
    heat: Mapping[str, NDArray[np.float32]], asked: EasyVqa, depicted: Sequence[Depicted]
) -> dict[str, Any]:
    """How often the peak is on the shape's cells, and on or next to them; chance is a peak anywhere.

    heat: whose -> (questions, grid, grid)
    returns: for questions about what is shown, and for all: questions, and of each of `heat` and of chance
             the shares `on` and `near`
    """
    grid = next(iter(heat.values())).shape[1]
    on = np.stack([cells_of(one.mask, grid) for one in depicted])
    near = np.stack([with_neighbours(cells) for cells in on])
    shown = np.array(
        [is_shown(text, depicted[row]) for text, row in zip(asked.questions, asked.rows, strict=True)]
    )
    found: dict[str, Any] = {"grid": grid}
    for name, chosen in (("about_what_is_shown", shown), ("all", np.ones_like(shown))):
        rows = asked.rows[chosen]
        found[name] = {"questions": int(chosen.sum())}
        if not len(rows):
            continue
        found[name]["chance"] = {"on": float(on[rows].mean()), "near": float(near[rows].mean())}
        for whose, maps in heat.items():
            places = maps[chosen].reshape(len(rows), -1).argmax(1)
            found[name][whose] = {
                label: float(cells[rows].reshape(len(rows), -1)[np.arange(len(rows)), places].mean())
                for label, cells in (("on", on), ("near", near))
            }
    return found


def remarks(found: Mapping[str, Any]) -> list[str]:
    """What there is to say beside the answers."""
    heat, text = found["heat_map"]["about_what_is_shown"], found["text_mode"]
    captions = found["captions"]["server"]["right"]
    lines = [
        f"from captions alone: {text['server']['accuracy']:.1%} right, PyTorch "
        f"{text['pytorch']['accuracy']:.1%}"
    ]
    if captions is not None:
        lines.append(f"captions that name a shape or colour and no wrong one: {captions:.1%}")
    if "server" in heat:
        lines.append(
            f"peak of the heat map on the shape {heat['server']['on']:.1%}, on it or next to it "
            f"{heat['server']['near']:.1%} of {heat['questions']} questions about it; chance "
            f"{heat['chance']['on']:.1%} and {heat['chance']['near']:.1%}, untrained weights "
            f"{heat['untrained']['on']:.1%} and {heat['untrained']['near']:.1%}"
        )
    return lines
