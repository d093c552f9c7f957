"""Temporal excitation: channels are turned up or down, frame by frame, by what the clip does over time.

Source of the idea: Li et al., TEA: Temporal Excitation and Aggregation for Action Recognition (arXiv
2004.01398), and Hu et al., Squeeze-and-Excitation Networks (arXiv 1709.01507).
"""

from __future__ import annotations

from torch import Tensor, nn

from multimodal.temporal.frame_axis import require_positive, split_frames


class TemporalExcitation(nn.Module):
    """A squeeze-and-excitation gate with a view of three frames.

    It is not the whole published TEA block: that one drives its gate with differences between neighbouring
    frames (motion excitation) and follows it by a hierarchy of temporal convolutions over channel groups
    (multiple temporal aggregation). Here the gate sees the averaged maps through one depthwise convolution
    over time, and nothing is aggregated behind it.

    frames:   length of a clip, for maps that come without an axis for time
    residual: add the gated features to the features instead of replacing them
    Parameters: 4 channels for the convolution, 2 channels * (channels // reduction) + channels +
    channels // reduction for the gate.
    """

    def __init__(self, channels: int, frames: int = 8, reduction: int = 4, residual: bool = False) -> None:
        super().__init__()
        require_positive("temporal excitation", channels=channels, frames=frames, reduction=reduction)
        self.frames, self.residual = frames, residual
        squeezed = max(1, channels // reduction)
        self.over_time = nn.Conv1d(channels, channels, kernel_size=3, padding=1, groups=channels)
        self.gate = nn.Sequential(
            nn.Linear(channels, squeezed), nn.ReLU(), nn.Linear(squeezed, channels), nn.Sigmoid()
        )

    def forward(self, features: Tensor) -> Tensor:
        """Gate the channels of every frame.

        features: (batch * frames, channels, height, width), (batch, frames, channels) or
                  (batch, frames, channels, height, width)
        returns:  the same shape
        ValueError for another rank, or maps that are no whole number of clips
        """
        clips = split_frames(features, self.frames)
        sequence = clips.mean(dim=(3, 4)) if clips.dim() == 5 else clips  # (batch, frames, channels)
        seen = self.over_time(sequence.transpose(1, 2)).transpose(1, 2)
        gate = self.gate(seen)
        if clips.dim() == 5:
            gate = gate[..., None, None]
        gated = (clips * gate).reshape(features.shape)
        return features + gated if self.residual else gated
