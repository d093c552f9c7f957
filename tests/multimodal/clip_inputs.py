"""Random clips for tests of quality fusions."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from multimodal.clip_features import ClipFeatures, ClipWidths, QualityFusionSizes

WIDTHS = ClipWidths(16, 16, (4, 6, 8, 10), (6, 8, 10, 12))
UNEQUAL = replace(WIDTHS, spatial=12)
SIZES = QualityFusionSizes(width=16, heads=4, gate_width=16)
STEPS = 8
SIDES = (9, 5, 3, 2)  # of the stage maps: odd ones too, as 3 x 3 over 9 or 5 pixels leaves them


def zero(module: nn.Module) -> None:
    for parameter in module.parameters():
        nn.init.zeros_(parameter)


def uniform(batch: int, steps: int = STEPS) -> torch.Tensor:
    return torch.full((batch, steps), 1 / steps)


def assemble(
    spatial: torch.Tensor,
    temporal: torch.Tensor,
    weights: torch.Tensor,
    maps: tuple[torch.Tensor, ...],
    levels: tuple[torch.Tensor, ...],
) -> ClipFeatures:
    """A clip whose averages are those of its frames and steps."""
    averaged = (temporal * weights.unsqueeze(-1)).sum(dim=1)
    return ClipFeatures(spatial, temporal, weights, spatial.mean(dim=1), averaged, maps, levels)


def random_clip(
    batch: int, widths: ClipWidths = WIDTHS, frames: int = STEPS, weights: torch.Tensor | None = None
) -> ClipFeatures:
    """Normal features, always the same; `frames` are the spatial ones, there are `STEPS` temporal steps."""
    numbers = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=numbers)

    maps = tuple(
        normal(batch, channels, side, side)
        for channels, side in zip(widths.spatial_levels, SIDES, strict=True)
    )
    levels = tuple(normal(batch, channels) for channels in widths.temporal_levels)
    spatial, temporal = normal(batch, frames, widths.spatial), normal(batch, STEPS, widths.temporal)
    drawn = normal(batch, STEPS).softmax(dim=1)
    return assemble(spatial, temporal, drawn if weights is None else weights, maps, levels)


def zero_clip(batch: int) -> ClipFeatures:
    clip = random_clip(batch)
    return assemble(
        torch.zeros_like(clip.spatial),
        torch.zeros_like(clip.temporal),
        clip.frame_weights,
        tuple(torch.zeros_like(stage) for stage in clip.spatial_maps),
        tuple(torch.zeros_like(level) for level in clip.temporal_levels),
    )


def rows(clip: ClipFeatures, wanted: slice) -> ClipFeatures:
    return ClipFeatures(
        *(
            tuple(part[wanted] for part in value) if isinstance(value, tuple) else value[wanted]
            for value in vars(clip).values()
        )
    )
