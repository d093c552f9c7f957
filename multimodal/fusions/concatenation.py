"""Both views side by side in one linear layer: what every other fusion has to beat."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from multimodal.clip_features import ClipFeatures, ClipWidths, Evidence, QualityFusionSizes
from multimodal.fusions.view_checks import require_inputs, require_sizes


class ConcatenationFusion(nn.Module):
    """One linear layer over both views, which may have different widths."""

    is_score: ClassVar[bool] = False
    evidence: ClassVar[Evidence] = Evidence()

    def __init__(self, spatial_dim: int = 1792, temporal_dim: int = 2304, output_dim: int = 512) -> None:
        super().__init__()
        require_sizes("concatenation", spatial_dim=spatial_dim, temporal_dim=temporal_dim)
        require_sizes("concatenation", output_dim=output_dim)
        self.widths = (spatial_dim, temporal_dim)
        self.out_width = output_dim
        self.output = nn.Linear(spatial_dim + temporal_dim, output_dim)

    @classmethod
    def from_sizes(cls, widths: ClipWidths, sizes: QualityFusionSizes) -> ConcatenationFusion:
        """For views of any two widths."""
        return cls(widths.spatial, widths.temporal, sizes.width)

    def forward(self, spatial: Tensor, temporal: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Fuse the two views, each (batch, its width); returns (batch, output width) and no evidence."""
        require_inputs("concatenation", (spatial, temporal), self.widths, axes=(2,))
        return self.output(torch.cat([spatial, temporal], dim=-1)), {}

    def fuse_clip(self, clip: ClipFeatures) -> tuple[Tensor, dict[str, Any]]:
        """Fuse the averages of both views."""
        return self(clip.spatial_vector, clip.temporal_vector)
