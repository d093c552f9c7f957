"""Small pictures and extractors for the tests of extractors and feature maps."""

from __future__ import annotations

from typing import Any

import torch

from multimodal.encoders import EXTRACTORS
from multimodal.encoders.feature_extractor import FeatureExtractor

MULTI_SCALE = {"scales": (64, 72), "out_dim": 16}
# Every kind of extractor at the size of tests: entry of the table -> keywords.
SMALL_EXTRACTORS: dict[str, dict[str, Any]] = {
    "efficientnet-tiny": {"out_dim": 16},
    "efficientnet-small": {"out_dim": 64},
    "convnext_tiny_32": {"out_dim": 16, "in_channels": 6},
    "convnext_small_64": {"out_dim": 64, "in_channels": 6},
    "vit_tiny_patch16_32": {"out_dim": 16},
    "multi_scale_efficientnet": {**MULTI_SCALE, "extractor_kwargs": {"name": "efficientnet-tiny"}},
    "multi_scale_vit": {**MULTI_SCALE, "extractor_kwargs": {"name": "vit_tiny_patch16_32"}},
    "multi_scale_convnext": {
        **MULTI_SCALE,
        "share_weights": True,
        "extractor_kwargs": {"name": "convnext_tiny_32", "in_channels": 6},
    },
}


def small_extractor(name: str, seed: int = 0) -> FeatureExtractor:
    """An entry of the table at its test size, in eval mode."""
    torch.manual_seed(seed)
    return EXTRACTORS[name](**SMALL_EXTRACTORS[name]).eval()


def pictures(batch: int, channels: int = 3, height: int = 64, width: int = 64, seed: int = 0) -> torch.Tensor:
    numbers = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, height, width, generator=numbers)
