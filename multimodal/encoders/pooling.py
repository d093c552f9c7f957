"""Bring a variable number of tokens to a fixed number by averaging neighbours."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn


@lru_cache(maxsize=64)
def pooling_rows(length: int, count: int) -> tuple[tuple[float, ...], ...]:
    """`count` rows of `length` averaging weights, the windows of adaptive average pooling."""
    if length < 1 or count < 1:
        raise ValueError(
            f"pooling: expected at least one token on both sides, got {length} in and {count} out"
        )
    rows = []
    for index in range(count):
        start, stop = index * length // count, -(-(index + 1) * length // count)
        rows.append(tuple(1.0 / (stop - start) if start <= place < stop else 0.0 for place in range(length)))
    return tuple(rows)


def pool_tokens(tokens: Tensor, count: int) -> Tensor:
    """Average neighbouring tokens: (batch, length, width) -> (batch, count, width), in order.

    Equal to adaptive average pooling, but one convolution: every ONNX runtime has it, for any ratio of
    lengths.
    """
    length = tokens.shape[1]
    if length == count:
        return tokens
    rows = torch.tensor(pooling_rows(length, count), dtype=tokens.dtype, device=tokens.device)
    # A convolution over tokens as channels, for ONNX Runtime refuses a batch of zero rows in a product with a
    # matrix.
    return nn.functional.conv1d(tokens, rows.unsqueeze(-1))
