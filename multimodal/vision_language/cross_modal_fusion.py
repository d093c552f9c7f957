"""A photo's vector and a text's vector become one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from multimodal.encoders.feature_extractor import unknown_name

MODES = ("mlp", "additive")


class CrossModalFusion(nn.Module):
    """Both vectors projected to hidden_dim and joined.

    mode "mlp":      Linear(Dropout(ReLU(Linear([v'; t'])))); 459,776 parameters at 512 -> 256
    mode "additive": sigmoid(W v + U t + b), the special case of one layer
    """

    def __init__(
        self, feature_dim: int = 512, hidden_dim: int = 256, mode: str = "mlp", dropout: float = 0.1
    ) -> None:
        super().__init__()
        if mode not in MODES:
            raise unknown_name("cross-modal fusion", mode, MODES)
        self.mode = mode
        self.visual = nn.Linear(feature_dim, hidden_dim)
        # One bias is enough where the two are added.
        self.text = nn.Linear(feature_dim, hidden_dim, bias=mode == "mlp")
        self.join = (
            nn.Sequential(
                nn.Linear(2 * hidden_dim, hidden_dim),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(hidden_dim, hidden_dim),
            )
            if mode == "mlp"
            else None
        )

    def forward(self, visual: Tensor, text: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """(batch, feature_dim) twice -> fused (batch, hidden_dim), no evidence."""
        seen, read = self.visual(visual), self.text(text)
        if self.join is None:
            return torch.sigmoid(seen + read), {}
        return self.join(torch.cat([seen, read], dim=1)), {}
