"""What ships in weights/ is what its card says, and holds on runs that nobody has seen."""

import json
from pathlib import Path

import pytest
import torch
from tqdm import tqdm

from multimodal.build import build
from multimodal.presets import PRESETS
from training.dataset import load_dataset
from training.evaluate import collect, judge
from training.fusion_stage import encode
from training.weld_runs import generate

WEIGHTS = Path(__file__).parents[2] / "weights"
FRESH_RUNS_PER_CLASS = 8


@pytest.fixture(scope="module")
def card():
    return json.loads((WEIGHTS / "weld_small.json").read_text())


def test_the_weights_fit_into_twelve_megabytes():
    assert (WEIGHTS / "weld_small.safetensors").stat().st_size <= 12e6


def test_the_card_reports_what_was_asked_of_the_model(card):
    assert card["fused"]["auroc"] >= 0.95
    assert card["fused"]["accuracy"] >= 0.90
    ahead_in_auroc = card["fused"]["auroc"] - max(one["auroc"] for one in card["alone"].values())
    ahead_in_accuracy = card["fused"]["accuracy"] - max(one["accuracy"] for one in card["alone"].values())
    assert ahead_in_auroc >= 0.05 or ahead_in_accuracy >= 0.10


def test_the_card_is_written_out_for_people_too():
    text = (WEIGHTS / "weld_small.md").read_text()
    assert "weld_small_confusion.png" in text
    assert (WEIGHTS / "weld_small_confusion.png").is_file()


@pytest.mark.slow
def test_fresh_runs_are_judged_as_well_as_the_card_says(card, tmp_path):
    root = generate(tmp_path / "runs", FRESH_RUNS_PER_CLASS, seed=20_000, progress=False)
    preset = PRESETS["weld_small"]
    dataset = load_dataset(root, preset, tmp_path / "decoded")
    model = build(preset, WEIGHTS / "weld_small.safetensors")
    with tqdm(disable=True) as bar, torch.no_grad():
        fresh = judge(collect(model, encode(model, dataset, list(range(len(dataset))), bar)))
    expected, runs = card["fused"]["accuracy"], len(dataset)
    spread = (expected * (1 - expected) * (1 / runs + 1 / card["runs"]["held out"])) ** 0.5
    assert fresh.classes.accuracy >= expected - 3 * spread  # three standard deviations of two binomial draws
