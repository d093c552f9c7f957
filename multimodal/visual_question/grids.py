"""Patch tokens as a grid: the class token first, then the patches row by row."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def side_of(tokens: Tensor) -> int:
    """Patches along a side of (batch, 1 + patches, width); ValueError where they make no square."""
    patches = tokens.shape[1] - 1
    side = math.isqrt(patches)
    if side * side != patches:
        raise ValueError(f"patch tokens: expected 1 + a square number of them, got {tokens.shape[1]}")
    return side


def resize_grid(tokens: Tensor, side: int) -> Tensor:
    """(batch, 1 + patches, width) -> (batch, 1 + side * side, width): bilinear, the class token as it is."""
    own = side_of(tokens)
    if own == side:
        return tokens
    grid = tokens[:, 1:].transpose(1, 2).unflatten(2, (own, own))  # (batch, width, own, own)
    resized = nn.functional.interpolate(grid, (side, side), mode="bilinear", align_corners=False)
    return torch.cat([tokens[:, :1], resized.flatten(2).transpose(1, 2)], dim=1)
