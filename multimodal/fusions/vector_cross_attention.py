"""One view questions the other, then a feed-forward layer: a post-norm Transformer block."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from multimodal.attention import MultiHeadAttention
from multimodal.clip_features import ClipFeatures, ClipWidths, Evidence, QualityFusionSizes
from multimodal.fusions.answers import as_steps, asked_keys, evidence_rows, mean_answer, weights_for
from multimodal.fusions.view_checks import require_inputs, require_sizes


class VectorCrossAttention(nn.Module):
    """Queries of one view read the other; feature_dim: the width of both, and of the output.

    include_self: where the other view is a single vector, the queries are keys as well. Over one key every
                  softmax is 1 whatever is asked: without this, the query and key projections (525,312 of
                  3,152,384 parameters at width 512) never count and never learn
    Source: Vaswani et al., Attention Is All You Need, 2017 (post-norm block).
    """

    is_score: ClassVar[bool] = False
    evidence: ClassVar[Evidence] = Evidence("evidence", ("spatial asks temporal",))

    def __init__(
        self, feature_dim: int = 512, num_heads: int = 8, dropout: float = 0.1, include_self: bool = True
    ) -> None:
        super().__init__()
        require_sizes("vector cross-attention", feature_dim=feature_dim, num_heads=num_heads)
        self.out_width = feature_dim
        self.include_self = include_self
        self.attention = MultiHeadAttention(feature_dim, num_heads, dropout)
        self.attention_norm = nn.LayerNorm(feature_dim)
        self.feed_forward = nn.Sequential(
            nn.Linear(feature_dim, 4 * feature_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * feature_dim, feature_dim),
            nn.Dropout(dropout),
        )
        self.output_norm = nn.LayerNorm(feature_dim)

    @classmethod
    def from_sizes(cls, widths: ClipWidths, sizes: QualityFusionSizes) -> VectorCrossAttention:
        """As wide as the two views, which must be of one width."""
        return cls(widths.common, sizes.heads, sizes.dropout)

    def forward(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Let every query read the keys.

        queries, keys: (batch, width) or (batch, steps, width), each for itself
        returns: as many answers as queries, shaped like them; {"attention": (batch, heads, queries, keys)}
        """
        width = self.out_width
        require_inputs("vector cross-attention", (queries, keys), (width, width), axes=(2, 3))
        asking, read = as_steps(queries), as_steps(keys)
        if keys.dim() == 2 and self.include_self:
            read = torch.cat([read, asking], dim=1)  # (batch, 1 + queries, width)
        answers, attention = self.attention(asking, read)
        answers = self.attention_norm(asking + answers)
        answers = self.output_norm(answers + self.feed_forward(answers))
        return answers.squeeze(1) if queries.dim() == 2 else answers, {"attention": attention}

    def fuse_clip(self, clip: ClipFeatures) -> tuple[Tensor, dict[str, Any]]:
        """The spatial frames question the temporal steps; answers count as their frames do.

        returns: (batch, width), info of `forward` and "evidence" (batch, 1, steps): what was read
        """
        answers, info = self(clip.spatial, clip.temporal)
        weights = weights_for(clip.frame_weights, answers)
        return mean_answer(answers, weights), {
            **info,
            "evidence": evidence_rows(asked_keys(info["attention"], weights)),
        }
