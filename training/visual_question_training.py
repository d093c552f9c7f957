"""A whole training of question answering: pictures, stages, judgement, weights and card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from multimodal.visual_question.build import build_visual_question, save_visual_question
from multimodal.visual_question.plug_and_play import PNPVQAFusion
from multimodal.visual_question.presets import VISUAL_QUESTION_PRESETS
from multimodal.visual_question.tokenizer import build_tokenizer
from training.easy_vqa import EasyVqa, load_split, split_off
from training.quality_checkpoint import load_checkpoint, save_checkpoint
from training.side_by_side import one_thread
from training.visual_question_card import write_visual_question_card
from training.visual_question_evaluate import Judge, evaluate_model
from training.visual_question_lessons import Teacher
from training.visual_question_pictures import Painter
from training.visual_question_recipe import VISUAL_QUESTION_RECIPES, VisualQuestionRecipe
from training.visual_question_stages import (
    Classroom,
    learn_apart,
    learn_fused,
    learn_reading,
    learn_sight,
    learn_together,
)
from training.visual_question_texts import Asker
from training.workplace import Workplace

CHOOSING_QUESTIONS = 1000  # about held-back pictures, asked at every look


def recipe_of(preset: str) -> VisualQuestionRecipe:
    """The recipe of a preset; raises ValueError for one that is not trained here."""
    if preset not in VISUAL_QUESTION_RECIPES:
        known = ", ".join(VISUAL_QUESTION_RECIPES)
        raise ValueError(f"preset: expected one with a recipe ({known}), got {preset!r}")
    return VISUAL_QUESTION_RECIPES[preset]


def train(preset: str, place: Workplace) -> Path:
    """Train every stage, judge on the official test split, write weights and card; the weights' path.

    A stage that has been finished in `place.work` is not learnt again.
    """
    recipe = recipe_of(preset)
    sizes = VISUAL_QUESTION_PRESETS[preset]
    torch.manual_seed(recipe.seed)
    data = load_split("train")
    learn, held = split_off(
        data.only(range(recipe.pictures or len(data.images))), recipe.held_back, recipe.seed
    )
    tokenizer = build_tokenizer(sizes)
    teacher = Teacher(sizes, Painter(learn, sizes.grid), Asker(learn.questions), tokenizer, recipe.questions)
    room = Classroom(build_visual_question(sizes).train(), teacher, recipe)
    judge = Judge(room.model, sizes, tokenizer)
    some = _some_questions(held, recipe.seed)

    def fused(room: Classroom) -> None:
        learn_fused(room, lambda: judge.both_ways(some))

    stages: dict[str, Callable[[Classroom], None]] = {
        "sight": learn_sight,
        "together": learn_together,
        "apart": learn_apart,
        "fused": fused,
        "reader": learn_reading,
    }
    with one_thread():  # a second one waits more than it works at this size
        for name, stage in stages.items():
            _once(room.model, place.work / f"{name}.pt", lambda stage=stage: stage(room))  # type: ignore[misc]
    weights = save_visual_question(room.model.eval(), sizes, place.weights / f"{preset}.safetensors")
    evaluate(preset, place)
    return weights


def evaluate(preset: str, place: Workplace) -> Path:
    """Judge the weights as they lie on disk, in half precision, on the official test split; their card."""
    recipe, sizes = recipe_of(preset), VISUAL_QUESTION_PRESETS[preset]
    weights = place.weights / f"{preset}.safetensors"
    model = build_visual_question(sizes, weights)
    test, data = load_split("test"), load_split("train")
    if recipe.pictures:
        test, data = test.only(range(recipe.pictures)), data.only(range(recipe.pictures))
    _, held = split_off(data, recipe.held_back, recipe.seed)
    evaluation = evaluate_model(model, sizes, test, held)
    return write_visual_question_card(preset, evaluation, model, test, place.weights)


def _once(model: PNPVQAFusion, path: Path, learn: Callable[[], None]) -> None:
    """Learn a stage, or take it from where it was finished."""
    if path.is_file():
        model.load_state_dict(load_checkpoint(path))
        return
    model.train()
    learn()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, model.state_dict())


def _some_questions(data: EasyVqa, seed: int) -> EasyVqa:
    """Up to CHOOSING_QUESTIONS questions about these pictures."""
    order = np.random.default_rng(seed).permutation(len(data.questions))[:CHOOSING_QUESTIONS]
    return EasyVqa(
        data.pictures,
        data.images,
        data.image_ids,
        tuple(data.questions[place] for place in order),
        data.answers[order],
        data.rows[order],
    )
