"""Views count by how reliable they look: of good quality, and certainly so."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from multimodal.clip_features import ClipFeatures, ClipWidths, Evidence, QualityFusionSizes
from multimodal.fusions.perceptron import perceptron
from multimodal.fusions.view_checks import require_inputs, require_sizes


class QualityAwareFusion(nn.Module):
    """One network rates both views, one doubts them, one enhances them; the reliable view counts more.

    reliability = quality * (1 - uncertainty); weights = reliability / its sum, computed from logarithms, so
    that they sum to 1 however small the reliabilities are.
    quality_dim: last hidden layer of both rating networks; output_dim: feature_dim unless given
    """

    is_score: ClassVar[bool] = False
    evidence: ClassVar[Evidence] = Evidence(
        "evidence", ("quality", "uncertainty", "weight"), ("spatial", "temporal")
    )

    def __init__(
        self,
        feature_dim: int = 512,
        quality_dim: int = 64,
        dropout: float = 0.1,
        output_dim: int | None = None,
    ) -> None:
        super().__init__()
        require_sizes("quality-aware fusion", feature_dim=feature_dim, quality_dim=quality_dim)
        self.widths = (feature_dim, feature_dim)
        self.out_width = feature_dim if output_dim is None else output_dim
        self.quality = perceptron(feature_dim, 2 * quality_dim, quality_dim, 1, dropout=dropout)
        self.uncertainty = perceptron(feature_dim, quality_dim, 1, dropout=dropout)
        self.enhance = perceptron(feature_dim, feature_dim, feature_dim, dropout=dropout)
        self.output = perceptron(2 * feature_dim, feature_dim, self.out_width, dropout=dropout)

    @classmethod
    def from_sizes(cls, widths: ClipWidths, sizes: QualityFusionSizes) -> QualityAwareFusion:
        """For two views of one width; the rating networks end in a quarter of the gates' width."""
        return cls(widths.common, max(1, sizes.gate_width // 4), sizes.dropout, sizes.width)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Fuse two views, each (batch, width).

        returns: (batch, output width), {"quality_1", "uncertainty_1", "weight_1" and the same with 2:
                 (batch, 1) each; "weights": (batch, 2), rows sum to 1; "evidence": (batch, 3, 2), quality,
                 uncertainty and weight of both views}
        """
        require_inputs("quality-aware fusion", (first, second), self.widths, axes=(2,))
        views = torch.stack([first, second], dim=1)  # (batch, 2, width)
        quality, doubt = self.quality(views).squeeze(-1), self.uncertainty(views).squeeze(-1)
        weights = (logsigmoid(quality) + logsigmoid(-doubt)).softmax(dim=-1)
        weighted = weights.unsqueeze(-1) * self.enhance(views)
        shown = {"quality": quality.sigmoid(), "uncertainty": doubt.sigmoid(), "weight": weights}
        info = {
            f"{name}_{view + 1}": values[:, view : view + 1]
            for name, values in shown.items()
            for view in range(2)
        }
        evidence = torch.stack(list(shown.values()), dim=1)
        return self.output(weighted.flatten(1)), {**info, "weights": weights, "evidence": evidence}

    def fuse_clip(self, clip: ClipFeatures) -> tuple[Tensor, dict[str, Any]]:
        """Fuse the averages of both views."""
        return self(clip.spatial_vector, clip.temporal_vector)
