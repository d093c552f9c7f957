"""A gate shares the answer between space and time, which may have different widths."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from multimodal.clip_features import ClipFeatures, ClipWidths, Evidence, QualityFusionSizes
from multimodal.fusions.perceptron import perceptron
from multimodal.fusions.view_checks import require_inputs, require_sizes


class SpatioTemporalGatedFusion(nn.Module):
    """Both views are brought to the output's width; a softmax gate that sees both mixes them.

    dropout: inside the gate, training only
    """

    is_score: ClassVar[bool] = False
    evidence: ClassVar[Evidence] = Evidence("gates", ("gate",), ("spatial", "temporal"))

    def __init__(
        self,
        spatial_dim: int = 1792,
        temporal_dim: int = 2304,
        output_dim: int = 512,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        require_sizes("space-time gate", spatial_dim=spatial_dim, temporal_dim=temporal_dim)
        self.widths = (spatial_dim, temporal_dim)
        self.out_width = output_dim
        self.gate = perceptron(spatial_dim + temporal_dim, output_dim, 2, dropout=dropout)
        self.spatial = nn.Linear(spatial_dim, output_dim)
        self.temporal = nn.Linear(temporal_dim, output_dim)

    @classmethod
    def from_sizes(cls, widths: ClipWidths, sizes: QualityFusionSizes) -> SpatioTemporalGatedFusion:
        """For views of any two widths."""
        return cls(widths.spatial, widths.temporal, sizes.width, sizes.dropout)

    def forward(self, spatial: Tensor, temporal: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Fuse the two views, each (batch, its width).

        returns: (batch, output width), {"gates": (batch, 2), rows sum to 1}
        """
        require_inputs("space-time gate", (spatial, temporal), self.widths, axes=(2,))
        gates = self.gate(torch.cat([spatial, temporal], dim=-1)).softmax(dim=-1)
        fused = gates[:, :1] * self.spatial(spatial) + gates[:, 1:] * self.temporal(temporal)
        return fused, {"gates": gates}

    def fuse_clip(self, clip: ClipFeatures) -> tuple[Tensor, dict[str, Any]]:
        """Fuse the averages of both views."""
        return self(clip.spatial_vector, clip.temporal_vector)
