"""Temporal attention: a clip as the weighted mean of its frames, and how much each frame counts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from multimodal.attention import masked_softmax
from multimodal.temporal.frame_axis import require_positive


class TemporalAttention(nn.Module):
    """Rate every frame by a small network, average by softmax of the ratings.

    Any number of frames. The order of the frames does not matter: the vector stays, the weights move along.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        require_positive("temporal attention", width=width)
        hidden = max(1, width // 4)
        self.rate = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, sequence: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Average over time.

        sequence: (batch, frames, width); valid: (batch, frames) bool or None (all valid)
        returns:  vector (batch, width), weights (batch, frames, 1), which sum to 1 and are exactly 0 where
                  not valid; both are all zero for a clip without a valid frame
        """
        weights = masked_softmax(self.rate(sequence).squeeze(-1), valid)  # (batch, frames)
        vector = torch.matmul(weights.unsqueeze(1), sequence).squeeze(1)
        return vector, weights.unsqueeze(-1)
