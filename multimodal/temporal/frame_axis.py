"""Three ways in which a clip's features arrive, brought to one: time as the second axis."""

from __future__ import annotations

from torch import Tensor


def split_frames(features: Tensor, frames: int) -> Tensor:
    """Give features an axis for time.

    features: (batch * frames, channels, height, width) as a backbone leaves them, or already with an axis for
              time: (batch, frames, channels) or (batch, frames, channels, height, width); `frames` is only
              read for the first of the three
    returns:  (batch, frames, channels) or (batch, frames, channels, height, width)
    ValueError for another rank, or maps that are no whole number of clips
    """
    if features.dim() in (3, 5):
        return features
    if features.dim() != 4:
        raise ValueError(
            "temporal module: expected (batch, frames, channels), (batch * frames, channels, height, width) "
            f"or (batch, frames, channels, height, width), got {tuple(features.shape)}"
        )
    if features.shape[0] % frames:
        raise ValueError(
            f"temporal module: expected clips of {frames} frames, got {features.shape[0]} maps, which is no "
            "multiple of it; build the module for the clip's number of frames"
        )
    return features.unflatten(0, (-1, frames))


def require_positive(module: str, **sizes: int) -> None:
    """ValueError that names the first size below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{module}: expected {name} of at least 1, got {size}")
