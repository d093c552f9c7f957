"""Gated fusion of any number of modalities: each opens its own gate as far as it deems itself useful."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from multimodal.fusions.modality_fusion import ModalityFusionSizes, one_width, require_modalities
from multimodal.fusions.view_checks import require_sizes


class GatedVectorFusion(nn.Module):
    """A sum of modalities, each times a gate between 0 and 1 that sees that modality alone, and a projection.

    normalize: divide by the sum of the gates, so that the answer does not grow with the modalities
    657,411 parameters for three modalities of width 512. Another number of modalities than it was built for
    is refused: zipping gates and inputs would drop the rest without a word.
    """

    def __init__(self, feature_dim: int = 512, num_modalities: int = 3, normalize: bool = False) -> None:
        super().__init__()
        require_sizes("gated vectors", feature_dim=feature_dim, num_modalities=num_modalities)
        hidden = max(1, feature_dim // 2)
        self.out_width = feature_dim
        self.normalize = normalize
        self.gates = nn.ModuleList(
            nn.Sequential(nn.Linear(feature_dim, hidden), nn.ReLU(), nn.Linear(hidden, 1))
            for _ in range(num_modalities)
        )
        self.output = nn.Linear(feature_dim, feature_dim)

    @classmethod
    def from_sizes(
        cls, widths: Sequence[int], sizes: ModalityFusionSizes, normalize: bool = False
    ) -> GatedVectorFusion:
        """For modalities of the output's width."""
        return cls(one_width("gated vectors", widths, sizes), len(widths), normalize)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """Fuse as many modalities as the fusion was built for, each (batch, width).

        returns: (batch, width), {"gates": (batch, modalities) in 0..1}, and with `normalize` "weights": the
                 same shape, rows sum to 1
        """
        require_modalities("gated vectors", features, self.out_width)
        if len(features) != len(self.gates):
            raise ValueError(
                f"gated vectors: expected {len(self.gates)} modalities, got {len(features)}; build the "
                "fusion for as many as there are"
            )
        scores = [gate(vector) for gate, vector in zip(self.gates, features, strict=True)]
        logits = torch.cat(scores, dim=1)  # (batch, modalities)
        gates = torch.sigmoid(logits)
        # g / sum(g) written as one softmax: gates that all round to zero would give 0 / 0
        shares = functional.logsigmoid(logits).softmax(dim=1) if self.normalize else gates
        mixed = (shares.unsqueeze(-1) * torch.stack(list(features), dim=1)).sum(dim=1)
        return self.output(mixed), {"gates": gates} | ({"weights": shares} if self.normalize else {})
