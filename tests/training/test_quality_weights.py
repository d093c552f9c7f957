"""What ships for video quality is what its card says, and is as good as was asked of it."""

import json
from pathlib import Path

import pytest

from multimodal.fusions import QUALITY_FUSIONS
from multimodal.quality_build import build_quality, trained_fusions
from multimodal.quality_presets import QUALITY_PRESETS
from training.clip_dataset import load_clips
from training.quality_clips import Amount, generate
from training.quality_clips.sources import HELD_OUT
from training.quality_metrics import srcc
from training.quality_trainer import predict

WEIGHTS = Path(__file__).parents[2] / "weights"
PRESET = QUALITY_PRESETS["video_quality_small"]
FILE = WEIGHTS / "video_quality_small.safetensors"


@pytest.fixture(scope="module")
def card():
    return json.loads((WEIGHTS / "video_quality_small.json").read_text())


def test_the_weights_fit_into_eight_megabytes_and_have_a_head_for_every_fusion():
    assert FILE.stat().st_size <= 8e6
    assert trained_fusions(FILE) == tuple(QUALITY_FUSIONS)


def test_the_card_reports_a_model_that_ranks_unseen_contents_better_than_its_peer(card):
    assert card["fusion"] == PRESET.default_fusion
    assert card["held_out"]["srcc"] >= 0.85
    assert card["held_out"]["srcc"] > card["brisque"]["srcc"]


def test_the_served_fusion_was_chosen_without_the_held_out_clips(card):
    assert card["choosing_srcc"][PRESET.default_fusion] == max(card["choosing_srcc"].values())


def test_the_card_is_written_out_for_people_too():
    text = (WEIGHTS / "video_quality_small.md").read_text()
    for name in (*HELD_OUT, *QUALITY_FUSIONS, "BRISQUE", "Not judged by people"):
        assert name in text
    assert (WEIGHTS / "video_quality_small_scatter.png").is_file()


@pytest.mark.slow
def test_clips_distorted_anew_are_ranked_as_well_as_the_card_says(tmp_path, card):
    """Another seed: other strengths and other noise, of contents that no training saw."""
    contents = ("coffee", "leaves 34")
    root = generate(tmp_path / "clips", seed=77, amount=Amount(1, 1, contents))
    clips = load_clips_of_one_split(root, tmp_path / "decoded")
    model = build_quality(PRESET, FILE)
    scores, targets = predict(model, clips, ask=lambda network, views: network.fuse(network.encode(views)))
    # 40 clips: SRCC has a standard error of about (1 - SRCC^2) / sqrt(40) = 0.04 at 0.85
    assert srcc(scores.numpy(), targets.numpy()) >= card["held_out"]["srcc"] - 3 * 0.04


def load_clips_of_one_split(root, cache):
    """All clips of the root as samples, whatever split they are of."""
    from training.quality_samples import TensorSamples

    dataset = load_clips(root, PRESET, cache, workers=1)
    rows = list(range(len(dataset)))
    from torch import from_numpy

    return TensorSamples(dataset.views(rows), from_numpy(dataset.scores))
