"""The trainer with real quality models: every fusion of the table learns from clips and from their frames."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from multimodal.fusions import QUALITY_FUSIONS
from multimodal.quality_build import build_quality
from multimodal.quality_losses import LossWeights
from multimodal.quality_presets import FRAMES, QUALITY_PRESETS
from training.quality_samples import TensorSamples
from training.quality_trainer import QualityTrainer, QualityTraining

pytestmark = pytest.mark.slow

TINY = QUALITY_PRESETS["video_quality_tiny"]
EVERYTHING = LossWeights(frames=0.5, plcc=0.1, ranking=0.1, uniformity=0.001, load_balance=0.01)


def decoded_clips(count: int, seed: int) -> TensorSamples:
    """Noise whose strength is what the targets say: the views of a clip as the pipeline samples them."""
    numbers = torch.Generator().manual_seed(seed)
    strength = torch.linspace(0, 1, count)[:, None, None, None, None]
    size, burst = TINY.sampling.size_px, TINY.sampling.burst
    noise = torch.randn((count, FRAMES * burst, size, size, 3), generator=numbers)
    pictures = (128 + 60 * strength * noise).clamp(0, 255).to(torch.uint8)
    targets = 100 - 100 * strength.flatten()
    views = {"video_fragments": pictures[:, ::burst], "video_frames": pictures}
    return TensorSamples(views, targets, targets[:, None].expand(-1, FRAMES))


def ask_for_clip(model, views):
    return model.fuse(model.encode(views))


@pytest.mark.parametrize("fusion", QUALITY_FUSIONS)
def test_every_fusion_learns_resumes_and_is_regularised_where_it_reports_its_weights(fusion, tmp_path):
    torch.manual_seed(0)
    clips, model = decoded_clips(6, seed=0), build_quality(TINY, fusion=fusion)
    model.scale.fit(clips.targets)
    before = {name: value.clone() for name, value in model.named_parameters()}
    settings = QualityTraining(epochs=2, batch=3, learning_rate=1e-3, loss=EVERYTHING)
    trainer = QualityTrainer(model, settings, clips, decoded_clips(4, seed=1), tmp_path, ask_for_clip)
    history = trainer.run()
    assert all(math.isfinite(row["train_loss"]) for row in history)
    key = model.fusion.evidence.key
    terms = {name.removeprefix("train_") for name in history[0] if name.startswith("train_")}
    assert {"quality", "frames", "plcc", "ranking"} <= terms
    assert bool(terms & {"attention", "sparsity"}) == bool(key)
    moved = {name.split(".")[0] for name, value in model.named_parameters() if not value.equal(before[name])}
    assert {"spatial_encoder", "temporal_encoder", "fusion", "frame_head"} <= moved
    again = QualityTrainer(model, settings, clips, clips, tmp_path, ask_for_clip)
    assert again.resume() == 2
    with pytest.raises(ValueError, match="got other seed"):
        QualityTrainer(model, replace(settings, seed=1), clips, clips, tmp_path, ask_for_clip).resume()
