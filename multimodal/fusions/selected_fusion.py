"""Four fusions of the same modalities, and a selector that learns how much each of them counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from multimodal.fusions.attention_fusion import AttentionFusion
from multimodal.fusions.early_fusion import EarlyFusion
from multimodal.fusions.gated_vectors import GatedVectorFusion
from multimodal.fusions.late_fusion import LateFusion
from multimodal.fusions.modality_fusion import ModalityFusionSizes

BRANCHES = ("early", "attention", "gated", "late")  # in the order of the selector's outputs


class MultimodalFusion(nn.Module):
    """Early fusion of the raw modalities; attention, gated and late fusion of their projections; a selector.

    feature_dims: width of each modality, any number of them; one that has output_dim already is not projected
    output_dim:   a multiple of num_heads
    5,653,514 parameters for (1024, 512, 768) -> 512.
    """

    def __init__(
        self, feature_dims: Sequence[int], output_dim: int = 512, num_heads: int = 8, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.out_width = output_dim
        self.early = EarlyFusion(feature_dims, output_dim, dropout)
        self.widths = self.early.widths
        self.attention = AttentionFusion(output_dim, num_heads, dropout=dropout)
        self.gated = GatedVectorFusion(output_dim, len(self.widths))
        self.late = LateFusion(output_dim, len(self.widths))
        self.projections = nn.ModuleList(
            nn.Identity() if width == output_dim else nn.Linear(width, output_dim) for width in self.widths
        )
        self.selector = nn.Linear(len(BRANCHES) * output_dim, len(BRANCHES))
        self.final = nn.Linear(output_dim, output_dim)

    @classmethod
    def from_sizes(cls, widths: Sequence[int], sizes: ModalityFusionSizes) -> MultimodalFusion:
        """For modalities of any widths."""
        return cls(widths, sizes.width, sizes.heads, sizes.dropout)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """Fuse as many modalities as the fusion was built for, each (batch, its width).

        returns: final (batch, output_dim) and {"<branch>_fused": (batch, output_dim) for each of BRANCHES and
                 "final", "fusion_weights": (batch, 4), rows sum to 1}
        """
        early, _ = self.early(features)  # refuses what the others could not project either
        projected = [project(vector) for project, vector in zip(self.projections, features, strict=True)]
        others = [branch(projected)[0] for branch in (self.attention, self.gated, self.late)]
        branches = [early, *others]
        weights = self.selector(torch.cat(branches, dim=1)).softmax(dim=1)  # (batch, branches)
        final = self.final((weights.unsqueeze(-1) * torch.stack(branches, dim=1)).sum(dim=1))
        named = {f"{name}_fused": fused for name, fused in zip(BRANCHES, branches, strict=True)}
        return final, {**named, "final_fused": final, "fusion_weights": weights}
