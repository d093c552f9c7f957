"""Early fusion: project every modality, put them side by side, and let one network read them all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from multimodal.fusions.modality_fusion import ModalityFusionSizes
from multimodal.fusions.perceptron import perceptron
from multimodal.fusions.view_checks import require_inputs, require_levels, require_sizes


class EarlyFusion(nn.Module):
    """Any number of modalities of any widths; 2,230,784 parameters for (1024, 512, 768) -> 512.

    feature_dims: width of each modality, in the order in which they are given
    """

    def __init__(self, feature_dims: Sequence[int], output_dim: int = 512, dropout: float = 0.1) -> None:
        super().__init__()
        require_levels("early fusion", feature_dims)
        require_sizes("early fusion", output_dim=output_dim)
        self.widths = tuple(feature_dims)
        self.out_width = output_dim
        self.projections = nn.ModuleList(nn.Linear(width, output_dim) for width in self.widths)
        self.join = perceptron(len(self.widths) * output_dim, output_dim, output_dim, dropout=dropout)

    @classmethod
    def from_sizes(cls, widths: Sequence[int], sizes: ModalityFusionSizes) -> EarlyFusion:
        """For modalities of any widths."""
        return cls(widths, sizes.width, sizes.dropout)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """Fuse as many modalities as the fusion was built for, each (batch, its width).

        returns: (batch, output_dim), no evidence
        """
        require_inputs("early fusion", features, self.widths, axes=(2,))
        projected = [project(vector) for project, vector in zip(self.projections, features, strict=True)]
        return self.join(torch.cat(projected, dim=1)), {}
