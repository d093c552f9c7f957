"""Encoders: one modality in, a fixed number of tokens out. Each is built from its part of a preset."""

from multimodal.encoders.audio import WeldAudioEncoder
from multimodal.encoders.image import WeldImageEncoder
from multimodal.encoders.sensor import WeldSensorEncoder
from multimodal.encoders.video import WeldVideoEncoder

ENCODERS: dict[str, type[WeldVideoEncoder | WeldImageEncoder | WeldAudioEncoder | WeldSensorEncoder]] = {
    "video": WeldVideoEncoder,
    "image": WeldImageEncoder,
    "audio": WeldAudioEncoder,
    "sensor": WeldSensorEncoder,
}
