"""What quality fusions refuse: sizes below one, and inputs that are not of the widths they were built for."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def require_sizes(fusion: str, **sizes: int) -> None:
    """ValueError for a size below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{fusion}: expected {name} of at least 1, got {size}")


def require_levels(fusion: str, dims: Sequence[int], at_least: int = 1) -> None:
    """ValueError for too few levels or one without channels."""
    if len(dims) < at_least or min(dims, default=0) < 1:
        raise ValueError(f"{fusion}: expected {at_least} or more levels with channels, got {tuple(dims)}")


def require_inputs(
    fusion: str, inputs: Sequence[Tensor], widths: Sequence[int], axes: tuple[int, ...]
) -> None:
    """ValueError unless there is an input per width, with so many axes, and all have the same batch.

    widths: of axis 1 for maps (batch, width, height, width), of the last axis for everything else
    axes:   numbers of axes allowed: 2 for (batch, width), 3 for (batch, steps, width), 4 for maps
    """
    if len(inputs) != len(widths):
        raise ValueError(f"{fusion}: expected {len(widths)} inputs, one per width, got {len(inputs)}")
    for place, (tensor, width) in enumerate(zip(inputs, widths, strict=True), start=1):
        channels = 1 if tensor.dim() == 4 else -1
        if tensor.dim() not in axes or tensor.shape[channels] != width:
            wanted = " or ".join(str(count) for count in axes)
            raise ValueError(
                f"{fusion}: expected input {place} of width {width} on {wanted} axes, "
                f"got {tuple(tensor.shape)}"
            )
        if tensor.shape[0] != inputs[0].shape[0]:
            raise ValueError(
                f"{fusion}: expected one batch, got {inputs[0].shape[0]} rows in input 1 and "
                f"{tensor.shape[0]} in input {place}"
            )
