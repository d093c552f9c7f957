"""Spatial attention: which places of a map count."""

from __future__ import annotations

from torch import Tensor, nn


class SpatialAttention(nn.Module):
    """A weight in (0, 1) for every place, from a bottleneck of 1x1 convolutions.

    reduction: how much narrower the bottleneck is, at least one channel
    """

    def __init__(self, in_channels: int, reduction: int = 8) -> None:
        super().__init__()
        narrow = max(1, in_channels // reduction)
        self.weigh = nn.Sequential(
            nn.Conv2d(in_channels, narrow, 1), nn.ReLU(), nn.Conv2d(narrow, 1, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, channels, height, width) -> the weighted map, weights (batch, 1, height, width)."""
        weights = self.weigh(x)
        return x * weights, weights
