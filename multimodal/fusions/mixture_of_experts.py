"""Several small networks see both views; a gate decides how much each of them says."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from multimodal.clip_features import ClipFeatures, ClipWidths, Evidence, QualityFusionSizes
from multimodal.fusions.perceptron import perceptron
from multimodal.fusions.view_checks import require_inputs, require_sizes
from multimodal.quality_losses import LOAD_BALANCE, load_balance


class AdaptiveGatedFusion(nn.Module):
    """A mixture of experts over both views, with learned noise on the gate in training.

    top_k: how many experts answer, the others get exactly 0; None for all. Those left out of a whole batch
           do not learn from it
    noise: whether the gate explores in training; never in eval, so that a score is a function of its clip
    Source: Shazeer et al., Outrageously Large Neural Networks, 2017 (noisy top-k gating).
    """

    is_score: ClassVar[bool] = False
    evidence: ClassVar[Evidence] = Evidence("weights", ("expert weight",))

    def __init__(
        self,
        feature_dim: int = 512,
        num_experts: int = 4,
        dropout: float = 0.1,
        top_k: int | None = None,
        noise: bool = True,
        output_dim: int | None = None,
    ) -> None:
        super().__init__()
        require_sizes("mixture of experts", feature_dim=feature_dim, num_experts=num_experts)
        if top_k is not None and not 1 <= top_k <= num_experts:
            raise ValueError(f"mixture of experts: expected top_k in 1-{num_experts} or None, got {top_k}")
        self.widths = (feature_dim, feature_dim)
        self.out_width = feature_dim if output_dim is None else output_dim
        self.top_k = top_k
        self.experts = nn.ModuleList(
            perceptron(2 * feature_dim, feature_dim, self.out_width, dropout=dropout)
            for _ in range(num_experts)
        )
        self.gate = perceptron(2 * feature_dim, feature_dim, num_experts, dropout=dropout)
        self.noise = nn.Linear(2 * feature_dim, num_experts) if noise else None

    @classmethod
    def from_sizes(cls, widths: ClipWidths, sizes: QualityFusionSizes) -> AdaptiveGatedFusion:
        """For two views of one width; all experts answer."""
        return cls(widths.common, sizes.experts, sizes.dropout, output_dim=sizes.width)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Fuse two views, each (batch, width).

        returns: (batch, output width), {"weights": (batch, experts), rows sum to 1, "load_balance": scalar}
        """
        require_inputs("mixture of experts", (first, second), self.widths, axes=(2,))
        both = torch.cat([first, second], dim=-1)
        weights = self._weights(both)
        answers = torch.stack([expert(both) for expert in self.experts], dim=1)  # (batch, experts, width)
        fused = (weights.unsqueeze(-1) * answers).sum(dim=1)
        return fused, {"weights": weights, LOAD_BALANCE: load_balance(weights)}

    def fuse_clip(self, clip: ClipFeatures) -> tuple[Tensor, dict[str, Any]]:
        """Fuse the averages of both views."""
        return self(clip.spatial_vector, clip.temporal_vector)

    def _weights(self, both: Tensor) -> Tensor:
        """(batch, experts): one softmax, whatever happened to the logits before."""
        logits = self.gate(both)
        if self.training and self.noise is not None:
            logits = logits + torch.randn_like(logits) * nn.functional.softplus(self.noise(both))
        if self.top_k is not None:
            kept = logits.topk(self.top_k, dim=-1).indices
            left_out = torch.ones_like(logits).scatter(-1, kept, 0.0) > 0
            logits = logits.masked_fill(left_out, float("-inf"))
        return logits.softmax(dim=-1)
