"""A tiny weld model and inputs for it; every test that only reads shares them."""

from __future__ import annotations

import pytest
import torch

from multimodal.build import build
from multimodal.presets import PRESETS, WeldPreset
from multimodal.weld import QuadModalWeldModel
from multimodal.weld_classes import MODALITIES

TINY = PRESETS["tiny"]


def weld_inputs(
    batch: int, preset: WeldPreset = TINY, seed: int = 0
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Random serving tensors, every row valid."""
    numbers = torch.Generator().manual_seed(seed)
    video, image, audio, sensor = preset.video, preset.image, preset.audio, preset.sensor

    def pixels(*shape: int) -> torch.Tensor:
        return torch.randint(0, 256, (batch, *shape, 3), dtype=torch.uint8, generator=numbers)

    raw = {
        "video": pixels(video.frames, video.size_px, video.size_px),
        "image": pixels(image.count, image.size_px, image.size_px),
        "audio": torch.rand(batch, audio.samples, generator=numbers) * 2 - 1,
        "audio_samples": torch.full((batch, 1), audio.samples, dtype=torch.int32),
        "sensor": torch.randn(batch, sensor.steps, sensor.channels, generator=numbers),
    }
    valid = {
        name: torch.ones(batch, image.count if name == "image" else 1, dtype=torch.bool)
        for name in MODALITIES
    }
    return raw, valid


def fresh_model(seed: int = 0) -> QuadModalWeldModel:
    """A tiny model of one's own, in eval mode."""
    torch.manual_seed(seed)
    return build(TINY)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Tensors here are tiny: a second thread only waits for the first, for seconds on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_model() -> QuadModalWeldModel:
    return fresh_model()
