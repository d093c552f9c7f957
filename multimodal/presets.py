"""Every size of every weld model: a preset is complete, frozen and refuses nonsense.

`weld_base` has the published sizes of its encoders, `weld_small` runs on two CPU cores in well under 120 ms
of compute per request, `tiny` is for tests.
"""

from __future__ import annotations

from dataclasses import dataclass

KALDI_WINDOW = 400  # samples: 25 ms at 16 kHz
KALDI_HOP = 160  # samples: 10 ms at 16 kHz


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(sentence)


@dataclass(frozen=True)
class Transformer:
    """Width, depth and heads of one encoder's Transformer; the MLP is `mlp_ratio` times as wide."""

    width: int
    layers: int
    heads: int
    mlp_ratio: float = 4.0

    def __post_init__(self) -> None:
        _require(self.width % self.heads == 0, f"width {self.width} must be a multiple of heads {self.heads}")


@dataclass(frozen=True)
class Video:
    """V-JEPA 2 (`frames` frames, squares of `size_px`), pooled to `tokens` time slices."""

    transformer: Transformer
    frames: int
    size_px: int
    patch_px: int = 16
    tubelet_frames: int = 2
    tokens: int = 8

    def __post_init__(self) -> None:
        _require(
            self.frames % self.tubelet_frames == 0,
            f"{self.frames} frames are no whole tubelets of {self.tubelet_frames}",
        )
        _require(
            self.size_px % self.patch_px == 0,
            f"{self.size_px} px is no whole number of {self.patch_px} px patches",
        )


@dataclass(frozen=True)
class Image:
    """DINOv2, one class token per photo; `table_px` is the size its position table was made for."""

    transformer: Transformer
    size_px: int
    table_px: int
    count: int = 5
    patch_px: int = 14

    def __post_init__(self) -> None:
        _require(
            self.size_px % self.patch_px == 0,
            f"{self.size_px} px is no whole number of {self.patch_px} px patches",
        )


@dataclass(frozen=True)
class Audio:
    """AST over `frames` log-mel frames of 10 ms, pooled to `tokens` time bins."""

    transformer: Transformer
    frames: int
    stride: int
    mel_bins: int = 128
    patch: int = 16
    tokens: int = 12
    sample_rate_hz: int = 16_000

    @property
    def samples(self) -> int:
        """Waveform samples that give exactly `frames` windows."""
        return KALDI_WINDOW + (self.frames - 1) * KALDI_HOP


@dataclass(frozen=True)
class Sensor:
    """Sensor Transformer over `steps` resampled rows of `channels` channels; one token a step."""

    transformer: Transformer
    steps: int = 256
    channels: int = 6


@dataclass(frozen=True)
class Fusion:
    """Cross-attention head: `tokens` learned questions of `width`."""

    width: int
    heads: int
    tokens: int = 4

    def __post_init__(self) -> None:
        _require(self.width % self.heads == 0, f"width {self.width} must be a multiple of heads {self.heads}")
        _require(self.tokens >= 1, f"fusion needs at least one token, got {self.tokens}")


@dataclass(frozen=True)
class WeldPreset:
    """One complete set of sizes for the weld pipeline."""

    name: str
    video: Video
    image: Image
    audio: Audio
    sensor: Sensor
    fusion: Fusion

    def token_count(self, modality: str) -> int:
        """Tokens that the encoder of a modality hands to the fusion head."""
        return {
            "video": self.video.tokens,
            "image": self.image.count,
            "audio": self.audio.tokens,
            "sensor": self.sensor.steps,
        }[modality]

    def token_width(self, modality: str) -> int:
        """Width of those tokens."""
        part: Video | Image | Audio | Sensor = getattr(self, modality)
        return part.transformer.width


_SMALL = Transformer(width=128, layers=3, heads=4)
_TINY = Transformer(width=32, layers=1, heads=2)

PRESETS: dict[str, WeldPreset] = {
    preset.name: preset
    for preset in (
        WeldPreset(
            "weld_base",
            Video(Transformer(1024, 24, 16), frames=16, size_px=256),
            Image(Transformer(768, 12, 12), size_px=224, table_px=518),
            Audio(Transformer(768, 12, 12), frames=1024, stride=14),
            Sensor(Transformer(256, 4, 8)),
            Fusion(512, 8),
        ),
        WeldPreset(
            "weld_small",
            Video(_SMALL, frames=16, size_px=96),
            Image(_SMALL, size_px=112, table_px=112),
            Audio(_SMALL, frames=512, stride=16),
            Sensor(_SMALL),
            Fusion(128, 4),
        ),
        WeldPreset(
            "tiny",
            Video(_TINY, frames=4, size_px=32),
            Image(_TINY, size_px=28, table_px=28),
            Audio(_TINY, frames=64, stride=16),
            Sensor(_TINY, steps=32),
            Fusion(32, 2),
        ),
    )
}
