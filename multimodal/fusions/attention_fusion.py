"""Attention fusion: modalities read each other, or are weighed by one learned question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from multimodal.attention import MultiHeadAttention
from multimodal.fusions.modality_fusion import ModalityFusionSizes, one_width, require_modalities
from multimodal.fusions.view_checks import require_sizes

MODES = ("mha", "additive")


class AttentionFusion(nn.Module):
    """Any number of modalities of one width, at call time too; their order does not matter.

    mode "mha":      every modality reads all, the answers are averaged and projected; 1,313,280 parameters
    mode "additive": a = softmax(w tanh(W f + b)) over the modalities, the output is the sum of a f; 263,168
    Sources: Vaswani et al., Attention Is All You Need, 2017; Bahdanau et al., Neural Machine Translation by
    Jointly Learning to Align and Translate, 2015.
    """

    def __init__(
        self, feature_dim: int = 512, num_heads: int = 8, mode: str = "mha", dropout: float = 0.1
    ) -> None:
        super().__init__()
        require_sizes("attention fusion", feature_dim=feature_dim, num_heads=num_heads)
        if mode not in MODES:
            raise ValueError(f"attention fusion: expected mode {' or '.join(MODES)}, got '{mode}'")
        self.out_width = feature_dim
        self.mode = mode
        if mode == "mha":
            self.attention = MultiHeadAttention(feature_dim, num_heads, dropout)
            self.output = nn.Linear(feature_dim, feature_dim)
        else:
            self.hidden = nn.Linear(feature_dim, feature_dim)
            self.question = nn.Linear(feature_dim, 1, bias=False)

    @classmethod
    def from_sizes(
        cls, widths: Sequence[int], sizes: ModalityFusionSizes, mode: str = "mha"
    ) -> AttentionFusion:
        """For modalities of the output's width."""
        return cls(one_width("attention fusion", widths, sizes), sizes.heads, mode, sizes.dropout)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """Fuse modalities, each (batch, width).

        returns: (batch, width), and {"attention": (batch, heads, modalities, modalities)} in mode mha or
                 {"weights": (batch, modalities)} in mode additive; rows sum to 1
        """
        require_modalities("attention fusion", features, self.out_width)
        stacked = torch.stack(list(features), dim=1)  # (batch, modalities, width)
        if self.mode == "mha":
            answers, attention = self.attention(stacked, stacked)
            return self.output(answers.mean(dim=1)), {"attention": attention}
        weights = self.question(torch.tanh(self.hidden(stacked))).softmax(dim=1)  # (batch, modalities, 1)
        return (weights * stacked).sum(dim=1), {"weights": weights.squeeze(-1)}
