"""Sensor encoder: a Transformer over the resampled rows of the welding machine's log."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from multimodal.attention import MultiHeadAttention
from multimodal.presets import Sensor, Transformer

WELD_BASE_SENSOR = Transformer(width=256, layers=4, heads=8)


def sinusoidal_positions(length: int, width: int) -> Tensor:
    """(length, width): even lanes sine, odd lanes cosine, base 10,000. Source: Vaswani et al. 2017."""
    steps = torch.arange(length, dtype=torch.float32)[:, None]
    lanes = torch.arange(0, width, 2, dtype=torch.float32)
    angles = steps * torch.exp(-math.log(10_000.0) * lanes / width)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width]


class SensorLayer(nn.Module):
    """Post-norm encoder layer: attention and a ReLU network, each added and normalised."""

    def __init__(self, sizes: Transformer, dropout: float) -> None:
        super().__init__()
        hidden = round(sizes.width * sizes.mlp_ratio)
        self.attention = MultiHeadAttention(sizes.width, sizes.heads, dropout)
        self.attention_norm = nn.LayerNorm(sizes.width)
        self.feed_forward = nn.Sequential(
            nn.Linear(sizes.width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, sizes.width)
        )
        self.feed_forward_norm = nn.LayerNorm(sizes.width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, steps: Tensor, valid: Tensor | None = None) -> Tensor:
        """(batch, steps, width), (batch, steps) bool or None -> (batch, steps, width)."""
        answers, _ = self.attention(steps, steps, valid)
        steps = self.attention_norm(steps + self.dropout(answers))
        return self.feed_forward_norm(steps + self.dropout(self.feed_forward(steps)))


class WeldSensorEncoder(nn.Module):
    """Standardised sensor rows to one token per row.

    channels:     values per row
    sizes:        width, layers, heads, ratio of the feed-forward network
    max_seq_len:  positions prepared ahead; longer series are computed when they come
    """

    positions: Tensor

    def __init__(
        self,
        channels: int = 6,
        sizes: Transformer = WELD_BASE_SENSOR,
        dropout: float = 0.1,
        max_seq_len: int = 512,
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(channels, sizes.width)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(SensorLayer(sizes, dropout) for _ in range(sizes.layers))
        self.norm = nn.LayerNorm(sizes.width)
        self.register_buffer("positions", sinusoidal_positions(max_seq_len, sizes.width), persistent=False)

    @classmethod
    def from_preset(cls, sensor: Sensor) -> WeldSensorEncoder:
        """Random weights at the preset's sizes."""
        return cls(sensor.channels, sensor.transformer, max_seq_len=sensor.steps)

    def forward(self, series: Tensor, valid: Tensor | None = None) -> Tensor:
        """Encode standardised series.

        series:  (batch, steps, channels); valid: (batch, steps) bool or None, rows that others may read
        returns: (batch, steps, width)
        """
        length = series.shape[1]
        if length > self.positions.shape[0]:
            longer = sinusoidal_positions(length, self.positions.shape[1])
            self.positions = longer.to(self.positions)
        steps = self.dropout(self.embed(series) + self.positions[:length])
        for layer in self.layers:
            steps = layer(steps, valid)
        return self.norm(steps)
