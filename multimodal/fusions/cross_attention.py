"""Both views question each other; their answers are joined by an MLP."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from multimodal.clip_features import ClipFeatures, ClipWidths, Evidence, QualityFusionSizes
from multimodal.fusions.answers import as_steps, asked_keys, evidence_rows, mean_answer, weights_for
from multimodal.fusions.vector_cross_attention import VectorCrossAttention


class BiDirectionalCrossAttention(nn.Module):
    """Two cross-attention blocks with weights of their own, then Linear, GELU, dropout, Linear.

    feature_dim:  of both views; output_dim: the same unless given
    include_self: see `VectorCrossAttention`
    """

    is_score: ClassVar[bool] = False
    evidence: ClassVar[Evidence] = Evidence("evidence", ("spatial asks temporal", "temporal asks spatial"))

    def __init__(
        self,
        feature_dim: int = 512,
        num_heads: int = 8,
        dropout: float = 0.1,
        include_self: bool = True,
        output_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.out_width = feature_dim if output_dim is None else output_dim
        self.first_asks = VectorCrossAttention(feature_dim, num_heads, dropout, include_self)
        self.second_asks = VectorCrossAttention(feature_dim, num_heads, dropout, include_self)
        self.join = nn.Sequential(
            nn.Linear(2 * feature_dim, feature_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(feature_dim, self.out_width),
        )

    @classmethod
    def from_sizes(cls, widths: ClipWidths, sizes: QualityFusionSizes) -> BiDirectionalCrossAttention:
        """For two views of one width."""
        return cls(widths.common, sizes.heads, sizes.dropout, output_dim=sizes.width)

    def forward(
        self,
        first: Tensor,
        second: Tensor,
        first_weights: Tensor | None = None,
        second_weights: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Any]]:
        """Fuse two views.

        first, second: (batch, width) or (batch, steps, width), each for itself
        weights:       (batch, steps) of that view, rows sum to 1: how much each of its answers counts; all
                       count alike without
        returns: fused (batch, output width), {"attention_1_to_2": (batch, heads, first steps, second steps),
                 "attention_2_to_1": the other way round, "evidence": (batch, 2, most steps), a row for
                 each direction: how much each step that was asked counted}
        """
        one, forth = self.first_asks(first, second)
        other, back = self.second_asks(second, first)
        answers = [mean_answer(as_steps(one), first_weights), mean_answer(as_steps(other), second_weights)]
        return self.join(torch.cat(answers, dim=-1)), {
            "attention_1_to_2": forth["attention"],
            "attention_2_to_1": back["attention"],
            "evidence": evidence_rows(
                asked_keys(forth["attention"], first_weights), asked_keys(back["attention"], second_weights)
            ),
        }

    def fuse_clip(self, clip: ClipFeatures) -> tuple[Tensor, dict[str, Any]]:
        """Frames and steps question each other; see `forward` for what comes back."""
        weights = clip.frame_weights
        return self(clip.spatial, clip.temporal, weights_for(weights, clip.spatial), weights)
