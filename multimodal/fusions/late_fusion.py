"""Late fusion: one learned share for each modality, the same for every input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from multimodal.fusions.modality_fusion import ModalityFusionSizes, one_width, require_modalities
from multimodal.fusions.view_checks import require_sizes


class LateFusion(nn.Module):
    """A weighted mean of modalities, equal weights to begin with, and a projection.

    262,659 parameters for three modalities of width 512.
    """

    def __init__(self, feature_dim: int = 512, num_modalities: int = 3) -> None:
        super().__init__()
        require_sizes("late fusion", feature_dim=feature_dim, num_modalities=num_modalities)
        self.out_width = feature_dim
        self.scores = nn.Parameter(torch.full((num_modalities,), 1 / num_modalities))
        self.output = nn.Linear(feature_dim, feature_dim)

    @classmethod
    def from_sizes(cls, widths: Sequence[int], sizes: ModalityFusionSizes) -> LateFusion:
        """For modalities of the output's width."""
        return cls(one_width("late fusion", widths, sizes), len(widths))

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """Fuse as many modalities as the fusion was built for, each (batch, width).

        returns: (batch, width), {"weights": (batch, modalities), rows sum to 1 and are all alike}
        """
        require_modalities("late fusion", features, self.out_width)
        if len(features) != len(self.scores):
            raise ValueError(
                f"late fusion: expected {len(self.scores)} modalities, got {len(features)}; build the fusion "
                "for as many as there are"
            )
        stacked = torch.stack(list(features), dim=1)  # (batch, modalities, width)
        weights = self.scores.softmax(dim=0).to(stacked.dtype)
        mixed = (weights[:, None] * stacked).sum(dim=1)
        return self.output(mixed), {"weights": weights.expand(stacked.shape[0], -1)}
