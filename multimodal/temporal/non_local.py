"""Non-local block over time: every frame reads all the others.

Source: Wang et al., Non-local Neural Networks (arXiv 1711.07971), embedded Gaussian form.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from multimodal.temporal.frame_axis import require_positive, split_frames


class NonLocalTemporal(nn.Module):
    """x + W g(x) softmax(theta(x)^T phi(x))^T, with W = 0 at first: the block starts as the identity.

    The dot products are not scaled, as in the source. Frames may be permuted: the result moves along.

    inner: width of theta, phi and g; half the channels when left out
    """

    def __init__(self, channels: int, inner: int | None = None) -> None:
        super().__init__()
        inner = max(1, channels // 2) if inner is None else inner
        require_positive("non-local block", channels=channels, inner=inner)
        self.theta = nn.Conv1d(channels, inner, kernel_size=1)
        self.phi = nn.Conv1d(channels, inner, kernel_size=1)
        self.g = nn.Conv1d(channels, inner, kernel_size=1)
        self.out = nn.Conv1d(inner, channels, kernel_size=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]  # a bias was asked for

    def forward(self, sequence: Tensor) -> Tensor:
        """(batch, channels, frames) -> the same shape; any number of frames."""
        return sequence + self.out(torch.matmul(self.g(sequence), self.attention(sequence).transpose(1, 2)))

    def attention(self, sequence: Tensor) -> Tensor:
        """(batch, channels, frames) -> who reads whom, (batch, frames, frames); rows sum to 1."""
        return torch.matmul(self.theta(sequence).transpose(1, 2), self.phi(sequence)).softmax(dim=-1)


class NonLocalFrames(nn.Module):
    """The non-local block for features of any layout: in maps, every position attends over time on its own.

    frames: length of a clip, for maps that come without an axis for time
    """

    def __init__(self, channels: int, frames: int = 8) -> None:
        super().__init__()
        require_positive("non-local block", frames=frames)
        self.frames = frames
        self.block = NonLocalTemporal(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Let every frame read all frames of its clip.

        features: (batch * frames, channels, height, width), (batch, frames, channels) or
                  (batch, frames, channels, height, width)
        returns:  the same shape
        ValueError for another rank, or maps that are no whole number of clips
        """
        clips = split_frames(features, self.frames)
        if clips.dim() == 3:
            return self.block(clips.transpose(1, 2)).transpose(1, 2)
        positions = clips.permute(0, 3, 4, 2, 1)  # (batch, height, width, channels, frames)
        read = self.block(positions.flatten(0, 2)).reshape(positions.shape)
        return read.permute(0, 4, 3, 1, 2).reshape(features.shape)
