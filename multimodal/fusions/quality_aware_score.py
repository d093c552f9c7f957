"""A score from both views, each counting by how good it looks."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from multimodal.clip_features import ClipFeatures, ClipWidths, Evidence, QualityFusionSizes
from multimodal.fusions.perceptron import perceptron
from multimodal.fusions.view_checks import require_inputs, require_sizes


class QualityAwareScoreFusion(nn.Module):
    """The quality score itself: each view rated by a network of its own, weighed by its rating, scored.

    weights = quality / its sum over views, computed from logarithms, so that they sum to 1 however small the
    ratings are. hidden_dim: of the scoring network; the rating networks have half. dropout: training only
    """

    is_score: ClassVar[bool] = True
    evidence: ClassVar[Evidence] = Evidence("evidence", ("quality", "weight"), ("spatial", "temporal"))

    def __init__(
        self,
        spatial_dim: int = 1792,
        temporal_dim: int = 2304,
        hidden_dim: int = 256,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        require_sizes("quality-aware score", hidden_dim=hidden_dim)
        require_sizes("quality-aware score", spatial_dim=spatial_dim, temporal_dim=temporal_dim)
        self.widths = (spatial_dim, temporal_dim)
        self.out_width = 1
        self.quality = nn.ModuleList(
            perceptron(width, max(1, hidden_dim // 2), 1, dropout=dropout) for width in self.widths
        )
        self.score = perceptron(sum(self.widths), hidden_dim, 1, dropout=dropout)

    @classmethod
    def from_sizes(cls, widths: ClipWidths, sizes: QualityFusionSizes) -> QualityAwareScoreFusion:
        """For views of any two widths."""
        return cls(widths.spatial, widths.temporal, sizes.gate_width, sizes.dropout)

    def forward(self, spatial: Tensor, temporal: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Score the two views, each (batch, its width).

        returns: score (batch, 1), {"spatial_quality", "temporal_quality", "spatial_weight",
                 "temporal_weight": (batch, 1) each; "weights": (batch, 2), rows sum to 1; "evidence":
                 (batch, 2, 2), quality and weight of both views}
        """
        views = (spatial, temporal)
        require_inputs("quality-aware score", views, self.widths, axes=(2,))
        quality = torch.cat([rate(view) for rate, view in zip(self.quality, views, strict=True)], dim=-1)
        weights = logsigmoid(quality).softmax(dim=-1)  # (batch, 2)
        quality = quality.sigmoid()
        weighted = [view * weights[:, place : place + 1] for place, view in enumerate(views)]
        return self.score(torch.cat(weighted, dim=-1)), {
            "spatial_quality": quality[:, :1],
            "temporal_quality": quality[:, 1:],
            "spatial_weight": weights[:, :1],
            "temporal_weight": weights[:, 1:],
            "weights": weights,
            "evidence": torch.stack([quality, weights], dim=1),
        }

    def fuse_clip(self, clip: ClipFeatures) -> tuple[Tensor, dict[str, Any]]:
        """Score the averages of both views."""
        return self(clip.spatial_vector, clip.temporal_vector)
