"""Modules that make frames know of each other; a new one that keeps the shape is one line here."""

from collections.abc import Callable

from torch import nn

from multimodal.temporal.non_local import NonLocalFrames, NonLocalTemporal
from multimodal.temporal.temporal_attention import TemporalAttention
from multimodal.temporal.temporal_excitation import TemporalExcitation
from multimodal.temporal.temporal_shift import TemporalShift

# Name -> how to build it for (channels, frames of a clip). Each maps (batch, frames, channels),
# (batch * frames, channels, height, width) and (batch, frames, channels, height, width) to the same shape.
TEMPORAL: dict[str, Callable[[int, int], nn.Module]] = {
    "tsm": lambda channels, frames: TemporalShift(frames),
    "tea": lambda channels, frames: TemporalExcitation(channels, frames),
    "non_local": lambda channels, frames: NonLocalFrames(channels, frames),
    "none": lambda channels, frames: nn.Identity(),
}

__all__ = [
    "TEMPORAL",
    "NonLocalFrames",
    "NonLocalTemporal",
    "TemporalAttention",
    "TemporalExcitation",
    "TemporalShift",
]
