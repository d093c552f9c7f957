"""Space and time, brought to one width, question each other through one shared attention."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from multimodal.attention import MultiHeadAttention
from multimodal.clip_features import ClipFeatures, ClipWidths, Evidence, QualityFusionSizes
from multimodal.fusions.answers import as_steps, asked_keys, evidence_rows, mean_answer
from multimodal.fusions.view_checks import require_inputs, require_sizes


class SpatioTemporalCrossAttention(nn.Module):
    """The same attention asks both ways; the averaged answers are joined by one linear layer.

    include_self: where a view is a single vector, whoever asks it is a key as well. Without this, and with
                  no residual, the spatial half of the answer would hold nothing but the temporal view and
                  the other way round, and the query and key projections would never count
    """

    is_score: ClassVar[bool] = False
    evidence: ClassVar[Evidence] = Evidence("evidence", ("spatial asks temporal", "temporal asks spatial"))

    def __init__(
        self,
        spatial_dim: int = 1792,
        temporal_dim: int = 2304,
        hidden_dim: int = 256,
        num_heads: int = 8,
        dropout: float = 0.1,
        include_self: bool = True,
    ) -> None:
        super().__init__()
        require_sizes("space-time cross-attention", spatial_dim=spatial_dim, temporal_dim=temporal_dim)
        self.widths = (spatial_dim, temporal_dim)
        self.out_width = hidden_dim
        self.include_self = include_self
        self.spatial = nn.Linear(spatial_dim, hidden_dim)
        self.temporal = nn.Linear(temporal_dim, hidden_dim)
        self.attention = MultiHeadAttention(hidden_dim, num_heads, dropout)
        self.output = nn.Linear(2 * hidden_dim, hidden_dim)

    @classmethod
    def from_sizes(cls, widths: ClipWidths, sizes: QualityFusionSizes) -> SpatioTemporalCrossAttention:
        """For views of any two widths."""
        return cls(widths.spatial, widths.temporal, sizes.width, sizes.heads, sizes.dropout)

    def forward(
        self, spatial: Tensor, temporal: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Any]]:
        """Fuse the two views.

        spatial, temporal: (batch, width) or (batch, steps, width), each of its own width
        weights:           (batch, temporal steps), rows sum to 1: how much each temporal answer counts; all
                           count alike without. Spatial answers always do
        returns: (batch, hidden width), {"attention_spatial_to_temporal": (batch, heads, spatial steps,
                 temporal steps), "attention_temporal_to_spatial": the other way round, "evidence":
                 (batch, 2, most steps), a row for each direction: how much each step that was asked counted}
        """
        require_inputs("space-time cross-attention", (spatial, temporal), self.widths, axes=(2, 3))
        space, time = as_steps(self.spatial(spatial)), as_steps(self.temporal(temporal))
        of_time, forth = self.attention(space, self._keys(time, space, alone=temporal.dim() == 2))
        of_space, back = self.attention(time, self._keys(space, time, alone=spatial.dim() == 2))
        answers = [mean_answer(of_time), mean_answer(of_space, weights)]
        return self.output(torch.cat(answers, dim=-1)), {
            "attention_spatial_to_temporal": forth,
            "attention_temporal_to_spatial": back,
            "evidence": evidence_rows(asked_keys(forth), asked_keys(back, weights)),
        }

    def fuse_clip(self, clip: ClipFeatures) -> tuple[Tensor, dict[str, Any]]:
        """Frames and steps question each other; see `forward` for what comes back."""
        return self(clip.spatial, clip.temporal, clip.frame_weights)

    def _keys(self, asked: Tensor, asking: Tensor, alone: bool) -> Tensor:
        """What can be read of (batch, steps, width): with whoever asks, where there is a single vector."""
        return torch.cat([asked, asking], dim=1) if alone and self.include_self else asked
