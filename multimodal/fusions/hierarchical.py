"""Levels join one after another, fine to coarse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from multimodal.clip_features import ClipFeatures, ClipWidths, Evidence, QualityFusionSizes
from multimodal.fusions.perceptron import perceptron
from multimodal.fusions.view_checks import require_inputs, require_levels


class HierarchicalFeatureFusion(nn.Module):
    """Every level is brought to one width; what is known so far takes in one level after the other.

    feature_dims: channels of each level in the order of joining; one level is enough
    """

    is_score: ClassVar[bool] = False
    evidence: ClassVar[Evidence] = Evidence()

    def __init__(
        self,
        feature_dims: Sequence[int] = (512, 1024, 2048),
        output_dim: int = 512,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        require_levels("hierarchical fusion", feature_dims)
        self.feature_dims = tuple(feature_dims)
        self.out_width = output_dim
        self.align = nn.ModuleList(nn.Linear(channels, output_dim) for channels in feature_dims)
        self.join = nn.ModuleList(
            perceptron(2 * output_dim, output_dim, output_dim, dropout=dropout) for _ in feature_dims[1:]
        )
        self.output = perceptron(output_dim, output_dim, output_dim, dropout=dropout)

    @classmethod
    def from_sizes(cls, widths: ClipWidths, sizes: QualityFusionSizes) -> HierarchicalFeatureFusion:
        """Levels: the spatial stages, the spatial view, the temporal view."""
        return cls((*widths.spatial_levels, widths.spatial, widths.temporal), sizes.width, sizes.dropout)

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """Fuse one (batch, channels) per level, in order; returns (batch, output width) and no evidence."""
        require_inputs("hierarchical fusion", levels, self.feature_dims, axes=(2,))
        aligned = [align(level) for align, level in zip(self.align, levels, strict=True)]
        known = aligned[0]
        for join, level in zip(self.join, aligned[1:], strict=True):
            known = join(torch.cat([known, level], dim=-1))
        return self.output(known), {}

    def fuse_clip(self, clip: ClipFeatures) -> tuple[Tensor, dict[str, Any]]:
        """Fuse the spatial stages, then the averages of both views."""
        return self((*clip.spatial_levels, clip.spatial_vector, clip.temporal_vector))
