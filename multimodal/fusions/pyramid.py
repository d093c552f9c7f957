"""A feature pyramid over stage maps, pooled and joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from multimodal.clip_features import ClipFeatures, ClipWidths, Evidence, QualityFusionSizes
from multimodal.fusions.perceptron import perceptron
from multimodal.fusions.view_checks import require_inputs, require_levels, require_sizes


class PyramidFeatureFusion(nn.Module):
    """What coarse maps know flows down to the fine ones; each level is smoothed and averaged over space.

    Maps may have odd sides: coarse ones are resized to the side of the next finer one.
    feature_dims: channels of the maps, fine to coarse
    Source: Lin et al., Feature Pyramid Networks for Object Detection, 2017.
    """

    is_score: ClassVar[bool] = False
    evidence: ClassVar[Evidence] = Evidence()

    def __init__(
        self,
        feature_dims: Sequence[int] = (256, 512, 1024, 2048),
        output_dim: int = 512,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        require_levels("pyramid fusion", feature_dims)
        require_sizes("pyramid fusion", output_dim=output_dim)
        self.feature_dims = tuple(feature_dims)
        self.out_width = output_dim
        self.lateral = nn.ModuleList(nn.Conv2d(channels, output_dim, 1) for channels in feature_dims)
        self.smooth = nn.ModuleList(nn.Conv2d(output_dim, output_dim, 3, padding=1) for _ in feature_dims)
        self.join = perceptron(len(feature_dims) * output_dim, 2 * output_dim, output_dim, dropout=dropout)

    @classmethod
    def from_sizes(cls, widths: ClipWidths, sizes: QualityFusionSizes) -> PyramidFeatureFusion:
        """Maps: the spatial stages, then the temporal view as a map of one pixel."""
        return cls((*widths.spatial_levels, widths.temporal), sizes.width, sizes.dropout)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """Fuse maps (batch, channels, height, width), fine to coarse; returns (batch, output width), {}."""
        require_inputs("pyramid fusion", maps, self.feature_dims, axes=(4,))
        lateral = [layer(stage) for layer, stage in zip(self.lateral, maps, strict=True)]
        merged = [lateral[-1]]
        for stage in lateral[-2::-1]:  # coarse to fine
            above = nn.functional.interpolate(
                merged[-1], size=stage.shape[2:], mode="bilinear", align_corners=False
            )
            merged.append(stage + above)  # unsmoothed: smoothing is for the level's own average
        pooled = [
            smooth(stage).mean(dim=(2, 3))
            for smooth, stage in zip(self.smooth, reversed(merged), strict=True)
        ]
        return self.join(torch.cat(pooled, dim=-1)), {}

    def fuse_clip(self, clip: ClipFeatures) -> tuple[Tensor, dict[str, Any]]:
        """Fuse the spatial maps, the average of the temporal view on top of them."""
        return self((*clip.spatial_maps, clip.temporal_vector[:, :, None, None]))
