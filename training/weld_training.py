"""The whole training of a weld preset, from no files at all to weights and a model card."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from tqdm import tqdm

from multimodal.build import build, load_weights, save_weights
from multimodal.presets import PRESETS
from multimodal.weld_classes import MODALITIES
from training.card import write_card
from training.dataset import WeldDataset, load_dataset
from training.encoder_stage import Job, train_encoders
from training.evaluate import Evaluation, evaluate_weld
from training.fusion_stage import TokenSet, encode, train_fusion
from training.recipe import RECIPES, Recipe
from training.weld_runs import generate
from training.workplace import Workplace

RUNS = "runs"  # folder of the simulated ones


def recipe_of(preset: str) -> Recipe:
    """The recipe of a preset; raises ValueError for one that is not trained here."""
    if preset not in RECIPES:
        raise ValueError(f"preset: expected one with a recipe ({', '.join(RECIPES)}), got {preset!r}")
    return RECIPES[preset]


def weld_dataset(preset: str, place: Workplace) -> WeldDataset:
    """Decoded runs; simulated ones are written first unless their manifest, which comes last, is there."""
    recipe = recipe_of(preset)
    if place.recorded is None and not (place.root(RUNS) / "manifest.csv").exists():
        generate(place.root(RUNS), recipe.runs_per_class, recipe.data_seed)
    return load_dataset(place.root(RUNS), PRESETS[preset], place.work / "decoded")


def train(preset: str, place: Workplace) -> Path:
    """Train, evaluate on held-out runs, write weights and card; returns the path of the weights."""
    recipe, sizes = recipe_of(preset), PRESETS[preset]
    dataset = weld_dataset(preset, place)
    splits = dataset.split(dict(recipe.shares), recipe.data_seed)
    folder = place.work / "encoders"
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    model = build(sizes)
    jobs = [
        Job(preset, name, place.root(RUNS), place.work / "decoded", folder, recipe, splits)
        for name in MODALITIES
    ]
    train_encoders(jobs, model, workers=len(os.sched_getaffinity(0)))
    views = recipe.fusion.views
    total = len(MODALITIES) * (len(splits["train"]) * (views + 1) + len(splits["choose"]))
    with tqdm(total=total, desc="tokens", unit="run") as bar:
        training = encode(model, dataset, splits["train"], bar, views, recipe.seed)
        choosing = encode(model, dataset, splits["choose"], bar)
    train_fusion(model, training, choosing, recipe.fusion, recipe.seed)
    weights = save_weights(model, place.weights / f"{preset}.safetensors")
    write_card(preset, judge(preset, place), place.weights)
    return weights


def evaluate(preset: str, place: Workplace) -> Path:
    """Judge the weights as they lie on disk again; returns the path of the card."""
    return write_card(preset, judge(preset, place), place.weights)


def judge(preset: str, place: Workplace) -> Evaluation:
    """Evaluate the weights as they lie on disk, in half precision, on the held-out runs."""
    recipe = recipe_of(preset)
    model = build(PRESETS[preset])
    load_weights(model, place.weights / f"{preset}.safetensors")
    dataset = weld_dataset(preset, place)
    splits = dataset.split(dict(recipe.shares), recipe.data_seed)
    rows = {name: splits[name] for name in ("train", "held_out")}
    with tqdm(total=len(MODALITIES) * sum(map(len, rows.values())), desc="evaluate", unit="run") as bar:
        tokens: dict[str, TokenSet] = {name: encode(model, dataset, rows[name], bar) for name in rows}
    return evaluate_weld(model, tokens["train"], tokens["held_out"])
