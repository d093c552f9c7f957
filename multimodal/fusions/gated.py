"""A gate shares the answer between the two views."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from multimodal.clip_features import ClipFeatures, ClipWidths, Evidence, QualityFusionSizes
from multimodal.fusions.perceptron import perceptron
from multimodal.fusions.view_checks import require_inputs, require_sizes


class GatedFusion(nn.Module):
    """Each view is transformed; a softmax gate that sees both mixes them; an MLP follows.

    feature_dim: of both views; hidden_dim: first layer of the gate, the second has half
    output_dim:  the same as feature_dim unless given
    Source: Arevalo et al., Gated Multimodal Units for Information Fusion, 2017.
    """

    is_score: ClassVar[bool] = False
    evidence: ClassVar[Evidence] = Evidence("gates", ("gate",), ("spatial", "temporal"))

    def __init__(
        self,
        feature_dim: int = 512,
        hidden_dim: int = 256,
        dropout: float = 0.1,
        output_dim: int | None = None,
    ) -> None:
        super().__init__()
        require_sizes("gated fusion", feature_dim=feature_dim, hidden_dim=hidden_dim)
        self.widths = (feature_dim, feature_dim)
        self.out_width = feature_dim if output_dim is None else output_dim
        self.gate = perceptron(2 * feature_dim, hidden_dim, max(1, hidden_dim // 2), 2, dropout=dropout)
        self.transforms = nn.ModuleList(
            nn.Sequential(nn.Linear(feature_dim, feature_dim), nn.ReLU(), nn.Dropout(dropout))
            for _ in self.widths
        )
        self.output = perceptron(feature_dim, feature_dim, self.out_width, dropout=dropout)

    @classmethod
    def from_sizes(cls, widths: ClipWidths, sizes: QualityFusionSizes) -> GatedFusion:
        """For two views of one width."""
        return cls(widths.common, sizes.gate_width, sizes.dropout, sizes.width)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Fuse two views, each (batch, width).

        returns: (batch, output width), {"gates": (batch, 2), rows sum to 1}
        """
        require_inputs("gated fusion", (first, second), self.widths, axes=(2,))
        gates = self.gate(torch.cat([first, second], dim=-1)).softmax(dim=-1)
        shares = gates[:, :1] * self.transforms[0](first) + gates[:, 1:] * self.transforms[1](second)
        return self.output(shares), {"gates": gates}

    def fuse_clip(self, clip: ClipFeatures) -> tuple[Tensor, dict[str, Any]]:
        """Fuse the averages of both views."""
        return self(clip.spatial_vector, clip.temporal_vector)
