"""A whole training of video quality: clips, encoders, every fusion, judgement, weights and card."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from multimodal.quality_build import QualityModel, build_quality, save_quality_weights, trained_fusions
from multimodal.quality_presets import QUALITY_PRESETS, VideoQualityPreset
from training import brisque_scores, clip_decoding
from training.clip_dataset import ClipDataset, load_clips
from training.decoded_cache import digest_of
from training.quality_card import write_quality_card
from training.quality_clips import generate
from training.quality_evaluate import Beside, QualityEvaluation, answers, evaluate_models
from training.quality_fusions import (
    FIRST,
    ask_with_wires,
    beside,
    encode,
    encode_to_learn,
    freeze_trunk,
    joined,
    train_fusions,
)
from training.quality_metrics import QualityReport, judge_quality, srcc
from training.quality_recipe import QUALITY_RECIPES, QualityRecipe
from training.quality_samples import TensorSamples
from training.quality_trainer import QualityTrainer
from training.quality_views import VIEWS, ViewJob, steps_of, train_views
from training.side_by_side import one_thread
from training.workplace import Workplace

CLIPS, WIRES = "clips", "wires"  # folders of our own clips, and of what the encoders say of them
CHOOSING = "choosing.json"  # SRCC of every fusion on the clips that choose, before it learnt from them too
# What a fusion is not shown, by the wires that are zeros then.
ABLATIONS: Mapping[str, tuple[str, ...]] = {
    "without the spatial view": ("spatial_tokens", "spatial_maps"),
    "without the temporal view": ("temporal_tokens", "temporal_levels"),
}


def quality_recipe_of(preset: str) -> QualityRecipe:
    """The recipe of a preset; raises ValueError for one that is not trained here."""
    if preset not in QUALITY_RECIPES:
        raise ValueError(f"preset: expected one with a recipe ({', '.join(QUALITY_RECIPES)}), got {preset!r}")
    return QUALITY_RECIPES[preset]


def clip_dataset(preset: str, place: Workplace) -> ClipDataset:
    """Decoded clips; our own are written first unless their manifest, which comes last, is there."""
    root = place.root(CLIPS)
    if place.recorded is None and not (root / "manifest.csv").exists():
        generate(root)
    return load_clips(root, QUALITY_PRESETS[preset], place.work / "decoded")


def train(preset: str, place: Workplace) -> Path:
    """Train encoders and every fusion, judge on held-out contents, write weights and card."""
    recipe, sizes = quality_recipe_of(preset), QUALITY_PRESETS[preset]
    dataset = clip_dataset(preset, place)
    cache = place.work / WIRES
    with one_thread():
        trunk = train_trunk(preset, place, dataset, recipe)
        encoded = encode(trunk, dataset, ("choose",), cache)
        encoded["train"] = encode_to_learn(trunk, dataset, sizes, recipe, cache)
        models = train_fusions(trunk, sizes, recipe, encoded)
        choosing = {name: choosing_srcc(model, encoded["choose"]) for name, model in models.items()}
        (cache / CHOOSING).write_text(json.dumps(choosing))
        models = refit(trunk, sizes, recipe, encoded)
        weights = save_quality_weights(trunk, models, place.weights / f"{preset}.safetensors")
        write_quality_card(preset, judge_preset(preset, place), place.weights)
    return weights


def choosing_srcc(model: QualityModel, choose: TensorSamples) -> float:
    """By which the served fusion is chosen."""
    return srcc(answers(model, choose)[0].numpy(), choose.targets.numpy())


def refit(
    trunk: QualityModel,
    preset: VideoQualityPreset,
    recipe: QualityRecipe,
    encoded: Mapping[str, TensorSamples],
) -> dict[str, QualityModel]:
    """Every fusion once more, from nothing, on the clips that have chosen too; nothing is left to choose."""
    start = beside(trunk, preset, trunk.fusion_name)
    return train_fusions(start, preset, _to_the_end(recipe), _with_choosing(encoded))


def _to_the_end(recipe: QualityRecipe) -> QualityRecipe:
    return replace(recipe, fusion=replace(recipe.fusion, keep="last"))


def _with_choosing(encoded: Mapping[str, TensorSamples]) -> dict[str, TensorSamples]:
    return {**encoded, "train": joined([encoded["train"], encoded["choose"]])}


def evaluate(preset: str, place: Workplace) -> Path:
    """Judge the weights as they lie on disk again; returns the path of the card."""
    return write_quality_card(preset, judge_preset(preset, place), place.weights)


def train_trunk(preset: str, place: Workplace, dataset: ClipDataset, recipe: QualityRecipe) -> QualityModel:
    """A model of the preset whose encoders have learnt and whose scores are in the units of the labels."""
    folder = place.work / "views"
    folder.mkdir(parents=True, exist_ok=True)
    root = place.root(CLIPS)
    jobs = [
        ViewJob(
            preset,
            view,
            root,
            place.work / "decoded",
            folder,
            recipe,
            steps_of(dataset, getattr(recipe, view)),
            digest_of((QUALITY_PRESETS[preset], getattr(recipe, view), recipe.seed), clip_decoding, root, ()),
        )
        for view in VIEWS
    ]
    states = train_views(jobs, workers=len(os.sched_getaffinity(0)))
    torch.manual_seed(recipe.seed)
    trunk = build_quality(QUALITY_PRESETS[preset], fusion=FIRST)
    for view, state in states.items():
        getattr(trunk, f"{view}_encoder").load_state_dict(state)
    with torch.no_grad():  # as they will lie on disk: heads are to learn on what will be served
        for parameter in trunk.parameters():
            parameter.copy_(parameter.half())
    trunk.scale.fit(torch.from_numpy(dataset.scores[np.array(dataset.splits["train"])]))
    return trunk.eval()


def judge_preset(preset: str, place: Workplace) -> QualityEvaluation:
    """Evaluate the weights as they lie on disk, in half precision, on the held-out contents."""
    recipe, sizes = quality_recipe_of(preset), QUALITY_PRESETS[preset]
    path = place.weights / f"{preset}.safetensors"
    models = {name: build_quality(sizes, path, name) for name in trained_fusions(path)}
    dataset = clip_dataset(preset, place)
    served = models[sizes.default_fusion]
    cache = place.work / WIRES
    encoded = encode(served, dataset, ("choose", "held_out"), cache)
    encoded["train"] = encode_to_learn(served, dataset, sizes, recipe, cache)
    held = [dataset.clips[row].path for row in dataset.splits["held_out"]]
    known = cache / CHOOSING
    return evaluate_models(
        models,
        encoded["held_out"],
        dataset,
        sizes.default_fusion,
        Beside(
            json.loads(known.read_text()) if known.is_file() else {},
            _peer(held, place),
            ablate(served, sizes, _to_the_end(recipe), _with_choosing(encoded)),
        ),
    )


def ablate(
    trunk: QualityModel,
    preset: VideoQualityPreset,
    recipe: QualityRecipe,
    encoded: Mapping[str, TensorSamples],
) -> dict[str, QualityReport]:
    """The served fusion trained again on less: what was left out -> agreement on the held-out clips."""
    found = {}
    for name, hidden in ABLATIONS.items():
        seen = {split: _without(samples, hidden) for split, samples in encoded.items()}
        found[name] = _retrained(_fresh(trunk, preset, recipe), recipe, seen, name)
    model = _fresh(trunk, preset, recipe)
    model.frame_attention = None
    found["all moments count alike"] = _retrained(model, recipe, encoded, "all moments count alike")
    return found


def _fresh(trunk: QualityModel, preset: VideoQualityPreset, recipe: QualityRecipe) -> QualityModel:
    """The served fusion on the same trunk, its head untrained, the same for the same seed."""
    torch.manual_seed(recipe.seed)
    return beside(trunk, preset, preset.default_fusion)


def _retrained(
    model: QualityModel, recipe: QualityRecipe, encoded: Mapping[str, TensorSamples], title: str
) -> QualityReport:
    freeze_trunk(model, frame_head_too=True)
    settings = replace(recipe.fusion, loss=replace(recipe.fusion.loss, frames=0.0))
    QualityTrainer(
        model, settings, encoded["train"], encoded["choose"], ask=ask_with_wires, title=title
    ).run()
    held = encoded["held_out"]
    return judge_quality(answers(model, held)[0].numpy(), held.targets.numpy())


def _without(samples: TensorSamples, hidden: tuple[str, ...]) -> TensorSamples:
    inputs = {
        name: torch.zeros_like(wire) if name in hidden else wire for name, wire in samples.inputs.items()
    }
    return replace(samples, inputs=inputs)


def _peer(paths: list[Path], place: Workplace) -> np.ndarray:
    """BRISQUE of the clips, kept beside them: it takes minutes and never changes. NaN without its package."""
    cache = place.work / f"brisque-{digest_of('', brisque_scores, place.root(CLIPS), paths)}.npy"
    if cache.is_file():
        return np.asarray(np.load(cache))
    try:
        rated = brisque_scores.brisque_scores(paths)
    except ImportError:  # a training must not end without its card for want of a peer
        return np.full(len(paths), np.nan)
    np.save(cache, rated)
    return rated
