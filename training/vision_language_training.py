"""A whole training of vision and language: features, every fusion, judgement, weights and card."""

from __future__ import annotations

from pathlib import Path

import torch

from multimodal.vision_language.build import (
    build_vision_language,
    load_pretrained,
    save_vision_language_weights,
    trained_fusions,
)
from multimodal.vision_language.model import VisualLanguageModel
from multimodal.vision_language.presets import VISION_LANGUAGE_PRESETS
from training.easy_vqa import EasyVqa, load_split, split_off
from training.vision_language_card import write_vision_language_card
from training.vision_language_evaluate import VisionLanguageEvaluation, evaluate_models, without_photos
from training.vision_language_features import Pooled, pool_split
from training.vision_language_heads import projected, train_alone, train_fusions, train_together
from training.vision_language_pictures import Shown, shown_of
from training.vision_language_recipe import VisionLanguageRecipe, vision_language_recipe_of
from training.workplace import Workplace

FEATURES = "features"  # folder of what the trunks see
CHOOSE_SHARE, CHOOSE_SEED = 0.1, 0
TEST_COPIES = 1


def train(preset: str, place: Workplace) -> Path:
    """Train projections, retrieval heads and every fusion, judge them on the test split, write the card."""
    recipe, sizes = vision_language_recipe_of(preset), VISION_LANGUAGE_PRESETS[preset]
    torch.manual_seed(recipe.seed)
    trunk = load_pretrained(build_vision_language(sizes), sizes)
    pooled = pool_split(
        trunk, sizes, easy_vqa(recipe)["train"], place.work / FEATURES, recipe.copies, recipe.seed
    )
    train_together(trunk, pooled, recipe)
    models = train_fusions(trunk, sizes, pooled, recipe)
    weights = save_vision_language_weights(models, place.weights / f"{preset}.safetensors")
    evaluate(preset, place)
    return weights


def evaluate(preset: str, place: Workplace) -> Path:
    """Judge the weights as they lie on disk again; returns the path of the card."""
    evaluation, shown = judge_preset(preset, place)
    return write_vision_language_card(preset, evaluation, shown, place.weights)


def easy_vqa(recipe: VisionLanguageRecipe) -> dict[str, EasyVqa]:
    """The splits to learn from (train), to choose the served fusion by (choose) and to judge by (test)."""
    train_split, test = (limited(load_split(name), recipe.photos) for name in ("train", "test"))
    learn, choose = split_off(train_split, CHOOSE_SHARE, CHOOSE_SEED)
    return {"train": learn, "choose": choose, "test": test}


def limited(data: EasyVqa, photos: int) -> EasyVqa:
    """The first photos with their questions; 0: all."""
    return data.only(range(min(photos, len(data.images)))) if photos else data


def judge_preset(preset: str, place: Workplace) -> tuple[VisionLanguageEvaluation, Shown]:
    """Evaluate the weights as they lie on disk, in half precision, and pick what a picture shows."""
    recipe, sizes = vision_language_recipe_of(preset), VISION_LANGUAGE_PRESETS[preset]
    path, cache = place.weights / f"{preset}.safetensors", place.work / FEATURES
    models = {name: build_vision_language(sizes, path, name) for name in trained_fusions(path)}
    served, data = models[sizes.default_fusion], easy_vqa(recipe)
    copies = {"train": recipe.copies, "choose": 0, "test": TEST_COPIES}
    splits = {
        name: pool_split(served, sizes, one, cache, copies[name], recipe.seed) for name, one in data.items()
    }
    blind = _trained_blind(served, preset, splits["train"], recipe)
    evaluation = evaluate_models(models, sizes.default_fusion, splits, blind)
    return evaluation, shown_of(served, data["test"], splits["test"], sizes.class_names)


def _trained_blind(
    served: VisualLanguageModel, preset: str, pooled: Pooled, recipe: VisionLanguageRecipe
) -> VisualLanguageModel:
    """The served fusion trained without photos: what questions alone give away."""
    blind = projected(served, without_photos(pooled, pooled.photos.mean(dim=(0, 1))))
    return train_alone(served, VISION_LANGUAGE_PRESETS[preset], blind, recipe, served.fusion_name)
