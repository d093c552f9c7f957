"""The small networks that quality fusions are made of."""

from __future__ import annotations

from itertools import pairwise

from torch import nn


def perceptron(*widths: int, dropout: float) -> nn.Sequential:
    """Linear layers from width to width, ReLU and dropout between them: nothing follows the last one.

    ValueError for fewer than two widths or one below 1.
    """
    if len(widths) < 2 or min(widths) < 1:
        raise ValueError(f"perceptron: expected two widths or more, each at least 1, got {widths}")
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers[:-2])
