"""Random tokens for fusion tests."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from multimodal.presets import Fusion

WIDTHS = {"video": 32, "image": 24, "audio": 24, "sensor": 16}
LENGTHS = {"video": 8, "image": 5, "audio": 12, "sensor": 20}
SIZES = Fusion(width=64, heads=4)


def random_tokens(
    batch: int, widths: Mapping[str, int] = WIDTHS, lengths: Mapping[str, int] = LENGTHS, seed: int = 0
) -> dict[str, torch.Tensor]:
    numbers = torch.Generator().manual_seed(seed)
    return {name: torch.randn(batch, lengths[name], widths[name], generator=numbers) for name in widths}


def all_valid(batch: int, lengths: Mapping[str, int] = LENGTHS) -> dict[str, torch.Tensor]:
    return {name: torch.ones(batch, length, dtype=torch.bool) for name, length in lengths.items()}


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
