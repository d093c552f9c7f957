"""What a served graph says of a row that is absent: nothing."""

from __future__ import annotations

from torch import Tensor


def zero_absent(tensor: Tensor, valid: Tensor) -> Tensor:
    """Zero the rows that are not valid, whatever they hold: (batch, ...) and (batch, 1) bool."""
    return tensor.masked_fill(~valid.reshape(-1, *(1,) * (tensor.dim() - 1)), 0)
