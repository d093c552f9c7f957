"""Mean-pool fusion: the baseline that a cross-attention head has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from multimodal.fusions.weld_cross_attention import WELD_BASE_FUSION, WELD_BASE_WIDTHS, require_widths
from multimodal.presets import Fusion


class WeldMeanPoolFusion(nn.Module):
    """Mean over the valid tokens of each modality, joined by an MLP; same arguments as the cross-attention
    fusion.

    Its attention is the exact equivalent of a mean: uniform over the valid tokens, one row.
    """

    def __init__(
        self,
        token_widths: Mapping[str, int] = WELD_BASE_WIDTHS,
        sizes: Fusion = WELD_BASE_FUSION,
        dropout: float = 0.1,
        proj_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        require_widths(token_widths)
        self.modalities = tuple(token_widths)
        self.width = sizes.width
        self.proj_dropout = nn.Dropout(proj_dropout)
        self.aggregate = nn.Sequential(
            nn.Linear(sum(token_widths.values()), 2 * sizes.width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(2 * sizes.width, sizes.width),
        )

    def forward(
        self,
        tokens: Mapping[str, Tensor],
        masks: Mapping[str, Tensor] | None = None,
        present: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Any]]:
        """Fuse the tokens of all modalities.

        tokens:  modality -> (batch, length, width of that modality)
        masks:   modality -> (batch, length) bool, True = valid; a modality left out is valid throughout
        present: (batch, modalities) bool; an absent modality counts as zeros
        returns: fused (batch, width), {"attention": modality -> (batch, 1, length)}
        """
        attention: dict[str, Tensor] = {}
        means: list[Tensor] = []
        for index, name in enumerate(self.modalities):
            rows = tokens[name]
            mask = None if masks is None else masks.get(name)
            weights = rows.new_ones(rows.shape[:2]) if mask is None else mask.to(rows.dtype)
            weights = (weights / weights.sum(dim=1, keepdim=True).clamp(min=1.0)).unsqueeze(1)
            mean = torch.matmul(weights, rows).squeeze(1)  # (batch, width of that modality)
            if present is not None:
                mean = mean * present[:, index, None].to(mean.dtype)
            attention[name] = weights
            means.append(mean)
        return self.aggregate(self.proj_dropout(torch.cat(means, dim=1))), {"attention": attention}
