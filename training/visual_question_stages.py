"""The stages of a question answering training, each from the last one's weights to its own."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from multimodal.visual_question.blip import BlipPixels
from multimodal.visual_question.plug_and_play import PNPVQAFusion
from multimodal.visual_question.relevance_graph import RelevanceGraph
from training.optimise import Optimiser
from training.visual_question_lessons import (
    Lesson,
    Teacher,
    answer_loss,
    caption_loss,
    drawn_tokens,
    matching_loss,
    reading_loss,
)
from training.visual_question_recipe import Stage, VisualQuestionRecipe
from training.visual_question_texts import ATTRIBUTES

OFF_SHAPE = 0.2  # how likely a patch without the shape is drawn, of one with it, before there is a map
# Share of pictures whose captioner sees nothing while the fusion learns. The captioner's ViT knows all that
# easy-VQA asks: with both streams always there, the gate stayed at 0.003 and the fusion said nothing.
HIDDEN = 0.3


@dataclass
class Classroom:
    """What every stage works with: the model that learns, who teaches it, and by what recipe."""

    model: PNPVQAFusion
    teacher: Teacher
    recipe: VisualQuestionRecipe

    def __post_init__(self) -> None:
        self.pixels = BlipPixels()
        self.encode = self.model.tokens.encode
        self.prompt = len(self.teacher.caption_prompt)
        self.drawn = self.teacher.preset.generation.patches

    def run(
        self,
        name: str,
        stage: Stage,
        trained: nn.Module,
        loss: Callable[[np.random.Generator], Tensor],
        look: Callable[[int], None] | None = None,
    ) -> None:
        """Step after step on the parameters of `trained`; look: after every step, with its number.

        What is random depends on the seed and the name alone, so that a training that was interrupted between
        two stages ends as one that was not.
        """
        seed = zlib.crc32(name.encode(), self.recipe.seed)
        rng = np.random.default_rng(seed)
        torch.manual_seed(seed)  # dropout
        optimiser = GatedOptimiser(trained, stage)
        for step in tqdm(range(1, stage.steps + 1), desc=name, mininterval=5):
            optimiser.step(loss(rng))
            if look is not None:
                look(step)

    def see(self, vision: nn.Module, lesson: Lesson) -> Tensor:
        """(batch, 1 + patches, width)."""
        return vision(self.pixels(lesson.pixels)).last_hidden_state

    def some(self, rng: np.random.Generator, seen: Tensor, lesson: Lesson) -> Tensor:
        """What a caption is told from: everything, or patches drawn mostly on the shape."""
        if rng.random() < 0.5:
            return seen
        return drawn_tokens(rng, seen, lesson.cells + OFF_SHAPE, self.drawn)


class GatedOptimiser(Optimiser):
    """With a rate of its own for a parameter called `gate`, where the trained module has one."""

    def __init__(self, module: nn.Module, stage: Stage) -> None:
        super().__init__(module, stage.schedule, stage.steps)
        gate = dict(module.named_parameters(recurse=False)).get("gate")
        if gate is None:
            return
        others = [parameter for parameter in self.parameters if parameter is not gate]
        groups: list[dict[str, Any]] = [{"params": others}, {"params": [gate], "weight_decay": 0.0}]
        self.adamw = torch.optim.AdamW(groups, weight_decay=stage.weight_decay)
        rates = [stage.peak_learning_rate, stage.gate_learning_rate]
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.adamw, rates, total_steps=max(stage.steps, 2), pct_start=stage.schedule.warm_up
        )


def learn_sight(room: Classroom) -> None:
    """The captioner's ViT learns to name what is in a picture; the heads for it are thrown away."""
    vision, stage = room.model.captioner.vision_model, room.recipe.sight
    width = vision.config.hidden_size
    heads = nn.ModuleDict({kind: nn.Linear(width, len(words)) for kind, words in ATTRIBUTES.items()})

    def loss(rng: np.random.Generator) -> Tensor:
        lesson = room.teacher.lesson(rng, stage.batch)
        first = room.see(vision, lesson)[:, 0]
        losses = [
            nn.functional.cross_entropy(heads[kind](first), wanted)
            for kind, wanted in lesson.attributes.items()
        ]
        return torch.stack(losses).sum()

    room.run("sight", stage, nn.ModuleList([vision, heads]), loss)


def learn_together(room: Classroom) -> None:
    """Matching, captioning and answering on one ViT; afterwards matching has a copy of its own."""
    model, stage = room.model, room.recipe.together
    vision = model.captioner.vision_model

    def loss(rng: np.random.Generator) -> Tensor:
        lesson = room.teacher.lesson(rng, stage.batch)
        seen = room.see(vision, lesson)
        return _telling(room, rng, seen, lesson) + matching_loss(model.itm, seen, lesson.pairs, room.encode)

    trained = [vision, model.captioner.text_decoder, model.qa, model.itm.text_encoder, model.itm.itm_head]
    room.run("together", stage, nn.ModuleList(trained), loss)  # type: ignore[arg-type]
    model.itm.vision_model.load_state_dict(vision.state_dict())


def learn_apart(room: Classroom) -> None:
    """Matching goes on with its own ViT, captioning and answering with theirs."""
    model, stage = room.model, room.recipe.apart

    def matching(rng: np.random.Generator) -> Tensor:
        lesson = room.teacher.lesson(rng, stage.batch)
        return matching_loss(model.itm, room.see(model.itm.vision_model, lesson), lesson.pairs, room.encode)

    def telling(rng: np.random.Generator) -> Tensor:
        lesson = room.teacher.lesson(rng, stage.batch)
        return _telling(room, rng, room.see(model.captioner.vision_model, lesson), lesson)

    room.run("apart: matching", stage, model.itm, matching)
    room.run("apart: telling", stage, nn.ModuleList([model.captioner, model.qa]), telling)  # type: ignore[list-item]


def learn_fused(room: Classroom, judge: Callable[[], float]) -> list[float]:
    """Fusion, gate and the decoders that read it; ViTs and matching stand still.

    judge: how good the model is on pictures held back; the state that it liked best is kept
    returns: what it said, at every `recipe.check` steps
    """
    model, stage = room.model, room.recipe.fused
    model.freeze_pretrained()
    said: list[float] = []
    best = [copy.deepcopy(model.state_dict())]
    reading = RelevanceGraph(model.itm, model.relevance_layer)

    def loss(rng: np.random.Generator) -> Tensor:
        lesson = room.teacher.lesson(rng, stage.batch)
        first = slice(0, stage.batch)
        with torch.no_grad():
            matching = room.see(model.itm.vision_model, lesson)
            captioning = room.see(model.captioner.vision_model, lesson)
            asked, mask = lesson.questions.ids[first], lesson.questions.mask[first]
            heat, _ = reading(matching, model.encoded_with_image(asked), mask)
        shown = torch.from_numpy(rng.random(stage.batch) >= HIDDEN)
        fused, _ = model.fuse(matching, captioning * shown[:, None, None])
        seen = drawn_tokens(rng, fused, heat, room.drawn)
        told = caption_loss(model.captioner.text_decoder, seen, lesson.captions, room.prompt)
        return told + _answering(room, fused, lesson)

    def look(step: int) -> None:
        if step % room.recipe.check == 0:
            model.eval()
            said.append(judge())
            if said[-1] == max(said):
                best[0] = copy.deepcopy(model.state_dict())
            model.train()

    trained = [model.fusion, model.itm_in, model.cap_in, model.out, model.captioner.text_decoder, model.qa]
    parts = nn.ModuleList(trained)  # type: ignore[arg-type]
    parts.register_parameter("gate", model.gate)
    room.run("fused", stage, parts, loss, look)
    model.load_state_dict(best[0])
    return said


def learn_reading(room: Classroom) -> None:
    """The text reader answers from captions that were written, not told."""
    reader, stage = room.model.reader, room.recipe.reader

    def loss(rng: np.random.Generator) -> Tensor:
        return reading_loss(reader, *room.teacher.reading(rng, stage.batch))  # type: ignore[arg-type]

    room.run("reader", stage, reader, loss)  # type: ignore[arg-type]


def _telling(room: Classroom, rng: np.random.Generator, seen: Tensor, lesson: Lesson) -> Tensor:
    """Captioning from some of what is seen, and answering from all of it."""
    told = caption_loss(
        room.model.captioner.text_decoder, room.some(rng, seen, lesson), lesson.captions, room.prompt
    )
    return told + _answering(room, seen, lesson)


def _answering(room: Classroom, seen: Tensor, lesson: Lesson) -> Tensor:
    return answer_loss(room.model.qa, seen, lesson.questions, lesson.answers, room.encode)  # type: ignore[arg-type]
