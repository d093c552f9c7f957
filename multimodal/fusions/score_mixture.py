"""Several experts score the clip; a gate decides how much each score counts."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from multimodal.clip_features import ClipFeatures, ClipWidths, Evidence, QualityFusionSizes
from multimodal.fusions.perceptron import perceptron
from multimodal.fusions.view_checks import require_inputs, require_sizes
from multimodal.quality_losses import LOAD_BALANCE, load_balance


class ScoreMixtureOfExperts(nn.Module):
    """The quality score itself, a mixture of scores from networks with one hidden layer each.

    hidden_dim: of every expert; the gate has half of it. dropout: in both, training only
    Source: Jacobs et al., Adaptive Mixtures of Local Experts, 1991.
    """

    is_score: ClassVar[bool] = True
    evidence: ClassVar[Evidence] = Evidence("weights", ("expert weight",))

    def __init__(
        self,
        spatial_dim: int = 1792,
        temporal_dim: int = 2304,
        num_experts: int = 4,
        hidden_dim: int = 256,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        require_sizes("score mixture", num_experts=num_experts, hidden_dim=hidden_dim)
        require_sizes("score mixture", spatial_dim=spatial_dim, temporal_dim=temporal_dim)
        self.widths = (spatial_dim, temporal_dim)
        self.out_width = 1
        both = spatial_dim + temporal_dim
        self.experts = nn.ModuleList(
            perceptron(both, hidden_dim, 1, dropout=dropout) for _ in range(num_experts)
        )
        self.gate = perceptron(both, max(1, hidden_dim // 2), num_experts, dropout=dropout)

    @classmethod
    def from_sizes(cls, widths: ClipWidths, sizes: QualityFusionSizes) -> ScoreMixtureOfExperts:
        """For views of any two widths; the experts' hidden layer has the gates' width."""
        return cls(widths.spatial, widths.temporal, sizes.experts, sizes.gate_width, sizes.dropout)

    def forward(self, spatial: Tensor, temporal: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Score the two views, each (batch, its width).

        returns: score (batch, 1), {"weights": (batch, experts), rows sum to 1, "load_balance": scalar}
        """
        require_inputs("score mixture", (spatial, temporal), self.widths, axes=(2,))
        both = torch.cat([spatial, temporal], dim=-1)
        weights = self.gate(both).softmax(dim=-1)
        scores = torch.cat([expert(both) for expert in self.experts], dim=-1)  # (batch, experts)
        score = (weights * scores).sum(dim=-1, keepdim=True)
        return score, {"weights": weights, LOAD_BALANCE: load_balance(weights)}

    def fuse_clip(self, clip: ClipFeatures) -> tuple[Tensor, dict[str, Any]]:
        """Score the averages of both views."""
        return self(clip.spatial_vector, clip.temporal_vector)
