"""A context network weighs the views against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from multimodal.clip_features import ClipFeatures, ClipWidths, Evidence, QualityFusionSizes
from multimodal.fusions.perceptron import perceptron
from multimodal.fusions.view_checks import require_inputs, require_sizes


class DynamicWeightNetwork(nn.Module):
    """Any number of inputs of one width, each transformed, mixed by weights that depend on all of them.

    context_dim: what is known of all inputs together; the layer before has twice, the one after half of it
    output_dim:  the same as feature_dim unless given
    """

    is_score: ClassVar[bool] = False
    evidence: ClassVar[Evidence] = Evidence("weights", ("weight",), ("spatial", "temporal"))

    def __init__(
        self,
        feature_dim: int = 512,
        context_dim: int = 128,
        num_modalities: int = 2,
        dropout: float = 0.1,
        output_dim: int | None = None,
    ) -> None:
        super().__init__()
        require_sizes("dynamic weights", feature_dim=feature_dim, num_modalities=num_modalities)
        require_sizes("dynamic weights", context_dim=context_dim)
        self.widths = (feature_dim,) * num_modalities
        self.out_width = feature_dim if output_dim is None else output_dim
        hidden = (2 * context_dim, context_dim, max(1, context_dim // 2))
        self.weigh = perceptron(sum(self.widths), *hidden, num_modalities, dropout=dropout)
        self.transforms = nn.ModuleList(
            perceptron(feature_dim, feature_dim, feature_dim, dropout=dropout) for _ in self.widths
        )
        self.output = perceptron(feature_dim, feature_dim, self.out_width, dropout=dropout)

    @classmethod
    def from_sizes(cls, widths: ClipWidths, sizes: QualityFusionSizes) -> DynamicWeightNetwork:
        """For two views of one width; the first hidden layer has the gates' width."""
        context = max(1, sizes.gate_width // 2)
        return cls(widths.common, context, dropout=sizes.dropout, output_dim=sizes.width)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """Fuse as many inputs as the fusion was built for, each (batch, width).

        returns: (batch, output width), {"weights": (batch, inputs), rows sum to 1}
        """
        require_inputs("dynamic weights", features, self.widths, axes=(2,))
        weights = self.weigh(torch.cat(list(features), dim=-1)).softmax(dim=-1)
        transformed = [change(view) for change, view in zip(self.transforms, features, strict=True)]
        mixed = (weights.unsqueeze(-1) * torch.stack(transformed, dim=1)).sum(dim=1)
        return self.output(mixed), {"weights": weights}

    def fuse_clip(self, clip: ClipFeatures) -> tuple[Tensor, dict[str, Any]]:
        """Fuse the averages of both views."""
        return self((clip.spatial_vector, clip.temporal_vector))
