"""Fine levels side by side, a cross-attended one, a gated one; all of it gives a score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from multimodal.clip_features import ClipFeatures, ClipWidths, Evidence, QualityFusionSizes
from multimodal.fusions.perceptron import perceptron
from multimodal.fusions.space_time_cross_attention import SpatioTemporalCrossAttention
from multimodal.fusions.space_time_gated import SpatioTemporalGatedFusion
from multimodal.fusions.view_checks import require_inputs, require_levels


class MultiLevelFusion(nn.Module):
    """The quality score itself, from two levels or more of both views.

    Early: every level but the last, both views in one linear layer. Middle: cross-attention on the last level
    but one, which thus counts twice: by what it holds and by how its views relate. Late: a gate on the last.
    dropout: before the last layer; attention_dropout: on attention probabilities and inside the gate
    """

    is_score: ClassVar[bool] = True
    evidence: ClassVar[Evidence] = Evidence("gates", ("gate",), ("spatial", "temporal"))

    def __init__(
        self,
        spatial_dims: Sequence[int] = (256, 512, 1024),
        temporal_dims: Sequence[int] = (256, 512, 1024),
        fusion_dim: int = 512,
        num_heads: int = 8,
        dropout: float = 0.5,
        attention_dropout: float = 0.1,
    ) -> None:
        super().__init__()
        require_levels("multi-level fusion", spatial_dims, at_least=2)
        require_levels("multi-level fusion", temporal_dims, at_least=2)
        if len(spatial_dims) != len(temporal_dims):
            raise ValueError(
                "multi-level fusion: expected as many spatial as temporal levels, "
                f"got {len(spatial_dims)} and {len(temporal_dims)}"
            )
        self.spatial_dims, self.temporal_dims = tuple(spatial_dims), tuple(temporal_dims)
        self.out_width = 1
        pairs = tuple(zip(spatial_dims, temporal_dims, strict=True))
        self.early = nn.ModuleList(nn.Linear(sum(pair), fusion_dim) for pair in pairs[:-1])
        self.middle = SpatioTemporalCrossAttention(*pairs[-2], fusion_dim, num_heads, attention_dropout)
        self.late = SpatioTemporalGatedFusion(*pairs[-1], fusion_dim, attention_dropout)
        self.score = perceptron((len(pairs) + 1) * fusion_dim, fusion_dim, 1, dropout=dropout)

    @classmethod
    def from_sizes(cls, widths: ClipWidths, sizes: QualityFusionSizes) -> MultiLevelFusion:
        """Levels: the stages of each view, then the view."""
        return cls(
            (*widths.spatial_levels, widths.spatial),
            (*widths.temporal_levels, widths.temporal),
            sizes.width,
            sizes.heads,
            sizes.dropout,
            sizes.dropout,
        )

    def forward(self, spatial: Sequence[Tensor], temporal: Sequence[Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """Score one (batch, channels) per level and view, fine to coarse.

        returns: score (batch, 1), {"gates": (batch, 2) of the last level, rows sum to 1, "evidence" and the
                 attentions of the cross-attention}
        """
        require_inputs("multi-level fusion", spatial, self.spatial_dims, axes=(2,))
        require_inputs("multi-level fusion", temporal, self.temporal_dims, axes=(2,))
        pairs = tuple(zip(spatial, temporal, strict=True))
        early = [layer(torch.cat(pair, dim=-1)) for layer, pair in zip(self.early, pairs[:-1], strict=True)]
        middle, attention = self.middle(*pairs[-2])
        late, gates = self.late(*pairs[-1])
        return self.score(torch.cat([*early, middle, late], dim=-1)), {**attention, **gates}

    def fuse_clip(self, clip: ClipFeatures) -> tuple[Tensor, dict[str, Any]]:
        """Score the stages and the averages of both views."""
        return self(
            (*clip.spatial_levels, clip.spatial_vector), (*clip.temporal_levels, clip.temporal_vector)
        )
