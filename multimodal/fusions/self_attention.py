"""The views, one token each, attend to one another and to themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from multimodal.attention import MultiHeadAttention
from multimodal.clip_features import ClipFeatures, ClipWidths, Evidence, QualityFusionSizes
from multimodal.fusions.view_checks import require_inputs, require_sizes

POSITION_STD = 0.02  # with 1 the positions drown features that come out of a LayerNorm


class SelfAttentionFusion(nn.Module):
    """Learned positions, self-attention over the inputs, LayerNorm, one linear layer over all of them.

    The order of the inputs matters: they have positions and their own columns of the last layer.
    feature_dim: of every input; output_dim: the same unless given
    """

    is_score: ClassVar[bool] = False
    evidence: ClassVar[Evidence] = Evidence("attention", ("spatial", "temporal"), ("spatial", "temporal"))

    def __init__(
        self,
        feature_dim: int = 512,
        num_heads: int = 8,
        dropout: float = 0.1,
        num_inputs: int = 2,
        output_dim: int | None = None,
    ) -> None:
        super().__init__()
        require_sizes("self-attention fusion", feature_dim=feature_dim, num_inputs=num_inputs)
        self.widths = (feature_dim,) * num_inputs
        self.out_width = feature_dim if output_dim is None else output_dim
        self.positions = nn.Parameter(torch.randn(1, num_inputs, feature_dim) * POSITION_STD)
        self.attention = MultiHeadAttention(feature_dim, num_heads, dropout)
        self.norm = nn.LayerNorm(feature_dim)
        self.output = nn.Linear(num_inputs * feature_dim, self.out_width)

    @classmethod
    def from_sizes(cls, widths: ClipWidths, sizes: QualityFusionSizes) -> SelfAttentionFusion:
        """For two views of one width."""
        return cls(widths.common, sizes.heads, sizes.dropout, output_dim=sizes.width)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """Fuse as many inputs as the fusion was built for, each (batch, width).

        returns: (batch, output width), {"attention": (batch, inputs, inputs), heads averaged, rows sum to 1}
        """
        require_inputs("self-attention fusion", features, self.widths, axes=(2,))
        tokens = torch.stack(list(features), dim=1) + self.positions  # (batch, inputs, width)
        answers, attention = self.attention(tokens, tokens)
        return self.output(self.norm(answers).flatten(1)), {"attention": attention.mean(dim=1)}

    def fuse_clip(self, clip: ClipFeatures) -> tuple[Tensor, dict[str, Any]]:
        """Fuse the averages of both views."""
        return self((clip.spatial_vector, clip.temporal_vector))
