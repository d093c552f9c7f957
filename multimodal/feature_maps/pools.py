"""Three ways from a map to a vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AveragePooling(nn.Module):
    """The mean over places; `channels` only so that every pool is built alike."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, channels)."""
        return x.mean(dim=(2, 3))


class AdaptivePooling(nn.Module):
    """Mean and maximum over places, in shares that the map itself decides."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.decide = nn.Sequential(nn.Linear(2 * channels, channels), nn.ReLU(), nn.Linear(channels, 2))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, channels)."""
        average, maximum = x.mean(dim=(2, 3)), x.amax(dim=(2, 3))
        shares = self.shares(average, maximum)
        return shares[:, :1] * average + shares[:, 1:] * maximum

    def shares(self, average: Tensor, maximum: Tensor) -> Tensor:
        """Two times (batch, channels) -> (batch, 2), shares of the mean and of the maximum, summing to 1."""
        return self.decide(torch.cat([average, maximum], dim=1)).softmax(dim=1)


class AttentionPooling(nn.Module):
    """A mean over places weighted by a softmax of one 1x1 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.score = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, channels)."""
        return (x * self.weights(x)).sum(dim=(2, 3))

    def weights(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, 1, height, width), summing to 1 over places."""
        return self.score(x).flatten(2).softmax(dim=2).unflatten(2, x.shape[-2:])
