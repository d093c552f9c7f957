"""Encoders: one modality in, a fixed number of tokens out. Each is built from its part of a preset."""

from __future__ import annotations

from typing import Any, Protocol

from torch import nn

from multimodal.encoders.audio import WeldAudioEncoder
from multimodal.encoders.image import WeldImageEncoder
from multimodal.encoders.light import (
    LightAudioEncoder,
    LightImageEncoder,
    LightSensorEncoder,
    LightVideoEncoder,
)
from multimodal.encoders.sensor import WeldSensorEncoder
from multimodal.encoders.video import WeldVideoEncoder


class EncoderClass(Protocol):
    """What a table of encoders holds: classes that their part of a preset can build."""

    def from_preset(self, part: Any, /) -> nn.Module:
        """Build the encoder with random weights."""
        ...


ENCODERS: dict[str, EncoderClass] = {
    "video": WeldVideoEncoder,
    "image": WeldImageEncoder,
    "audio": WeldAudioEncoder,
    "sensor": WeldSensorEncoder,
}
LIGHT_ENCODERS: dict[str, EncoderClass] = {
    "video": LightVideoEncoder,
    "image": LightImageEncoder,
    "audio": LightAudioEncoder,
    "sensor": LightSensorEncoder,
}
