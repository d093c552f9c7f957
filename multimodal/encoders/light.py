"""Light encoders: a few convolutions that keep the token contract of the real ones.

They stand in for the pretrained encoders in tests and ablations of the fusion: same inputs, same tokens.
"""

from __future__ import annotations

from torch import Tensor, nn

from multimodal.encoders.pooling import pool_tokens
from multimodal.presets import Audio, Image, Sensor, Video

CHANNELS = 32


class LightVideoEncoder(nn.Module):
    """Two 3-D convolutions, the mean over space, time pooled to `out_tokens`."""

    def __init__(self, embed_dim: int, out_tokens: int = 8) -> None:
        super().__init__()
        self.out_tokens = out_tokens
        self.convolutions = nn.Sequential(
            nn.Conv3d(3, CHANNELS, (1, 7, 7), stride=(1, 4, 4), padding=(0, 3, 3)),
            nn.GELU(),
            nn.Conv3d(CHANNELS, CHANNELS, 3, stride=(2, 2, 2), padding=1),
            nn.GELU(),
        )
        self.projection = nn.Linear(CHANNELS, embed_dim)

    @classmethod
    def from_preset(cls, video: Video) -> LightVideoEncoder:
        """Same tokens as the preset's V-JEPA 2."""
        return cls(video.transformer.width, video.tokens)

    def forward(self, frames: Tensor) -> Tensor:
        """(batch, time, 3, height, width) in [0, 1] -> (batch, out_tokens, embed_dim)."""
        maps = self.convolutions(frames.transpose(1, 2))  # (batch, channels, time / 2, height / 8, width / 8)
        slices = maps.mean(dim=(3, 4)).transpose(1, 2)
        return self.projection(pool_tokens(slices, self.out_tokens))


class LightImageEncoder(nn.Module):
    """Two convolutions and the mean over space: one token per photo."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(3, CHANNELS, 7, stride=4, padding=3),
            nn.GELU(),
            nn.Conv2d(CHANNELS, CHANNELS, 3, stride=2, padding=1),
            nn.GELU(),
        )
        self.projection = nn.Linear(CHANNELS, embed_dim)

    @classmethod
    def from_preset(cls, image: Image) -> LightImageEncoder:
        """Same tokens as the preset's DINOv2."""
        return cls(image.transformer.width)

    def forward(self, photos: Tensor) -> Tensor:
        """(batch, angles, 3, height, width) in [0, 1] -> (batch, angles, embed_dim)."""
        batch, angles = photos.shape[:2]
        token = self.convolutions(photos.flatten(0, 1)).mean(dim=(2, 3))  # (batch * angles, channels)
        return self.projection(token).unflatten(0, (batch, angles))


class LightAudioEncoder(nn.Module):
    """Two convolutions over the spectrogram, the mean over frequency, time pooled to `out_tokens`."""

    def __init__(self, embed_dim: int, out_tokens: int = 12) -> None:
        super().__init__()
        self.out_tokens = out_tokens
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, CHANNELS, 5, stride=(2, 4), padding=2),
            nn.GELU(),
            nn.Conv2d(CHANNELS, CHANNELS, 3, stride=2, padding=1),
            nn.GELU(),
        )
        self.projection = nn.Linear(CHANNELS, embed_dim)

    @classmethod
    def from_preset(cls, audio: Audio) -> LightAudioEncoder:
        """Same tokens as the preset's AST."""
        return cls(audio.transformer.width, audio.tokens)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, time, mel) -> (batch, out_tokens, embed_dim)."""
        maps = self.convolutions(features.unsqueeze(1))  # (batch, channels, time / 4, mel / 8)
        return self.projection(pool_tokens(maps.mean(dim=3).transpose(1, 2), self.out_tokens))


class LightSensorEncoder(nn.Module):
    """The same small network on every step."""

    def __init__(self, channels: int, embed_dim: int) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(channels, 2 * CHANNELS), nn.GELU(), nn.Linear(2 * CHANNELS, embed_dim)
        )

    @classmethod
    def from_preset(cls, sensor: Sensor) -> LightSensorEncoder:
        """Same tokens as the preset's sensor Transformer."""
        return cls(sensor.channels, sensor.transformer.width)

    def forward(self, series: Tensor) -> Tensor:
        """(batch, steps, channels) -> (batch, steps, embed_dim)."""
        return self.network(series)
