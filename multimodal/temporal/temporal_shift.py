"""Temporal shift: frames see their neighbours at no cost, because some channels change places.

Source: Lin et al., TSM: Temporal Shift Module for Efficient Video Understanding (arXiv 1811.08383).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from multimodal.temporal.frame_axis import require_positive, split_frames


class TemporalShift(nn.Module):
    """Move one part of the channels to the frame before, an equal part to the frame behind; no parameters.

    frames:   length of a clip, for maps that come without an axis for time
    fraction: 1 / fraction of the channels moves each way, rounded down: fewer channels than `fraction` stay
              where they are
    """

    def __init__(self, frames: int = 8, fraction: int = 8) -> None:
        super().__init__()
        require_positive("temporal shift", frames=frames)
        if fraction < 2:
            raise ValueError(
                f"temporal shift: expected a fraction of at least 2, for two parts must move, got {fraction}"
            )
        self.frames, self.fraction = frames, fraction

    def forward(self, features: Tensor) -> Tensor:
        """Shift along time; zeros come in at the ends of the clip.

        features: (batch * frames, channels, height, width), (batch, frames, channels) or
                  (batch, frames, channels, height, width)
        returns:  the same shape; with fold = channels // fraction, channels [0, fold) of frame t hold what
                  was in frame t + 1, channels [fold, 2 fold) what was in frame t - 1
        ValueError for another rank, or maps that are no whole number of clips
        """
        clips = split_frames(features, self.frames)
        fold = clips.shape[2] // self.fraction
        if fold == 0:
            return features
        ahead, behind, still = clips[:, :, :fold], clips[:, :, fold : 2 * fold], clips[:, :, 2 * fold :]
        nothing = torch.zeros_like(ahead[:, :1])  # (batch, 1, fold, ...)
        ahead = torch.cat([ahead[:, 1:], nothing], dim=1)
        behind = torch.cat([nothing, behind[:, :-1]], dim=1)
        shifted = torch.cat([ahead, behind, still], dim=2)
        return shifted.flatten(0, 1) if features.dim() == 4 else shifted
