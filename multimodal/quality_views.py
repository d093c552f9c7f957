"""Frames through a picture encoder and back to clips; bytes and normalised pictures are both welcome."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from multimodal.encoders.feature_extractor import FeatureExtractor
from multimodal.quality_heads import EncodedView
from multimodal.quality_presets import FRAMES
from multimodal.temporal import TEMPORAL

TEMPORAL_METHODS = ("tsm", "tea", "slowfast")  # of a branch; the last takes features computed elsewhere


def as_clip(x: Tensor, front_end: nn.Module) -> Tensor:
    """Clips (batch, frames, channels, height, width), normalised.

    x: the same, or one picture each (batch, channels, height, width); or, as decoded, (batch, frames, height,
       width, 3) uint8, which goes through the front end
    ValueError for another rank
    """
    if x.dim() == 4:
        x = x.unsqueeze(1)
    if x.dim() != 5:
        raise ValueError(
            "clip: expected (batch, frames, channels, height, width), (batch, channels, height, width) or "
            f"(batch, frames, height, width, 3) uint8, got {tuple(x.shape)}"
        )
    return front_end(x) if x.dtype == torch.uint8 else x


def encode_frames(extractor: FeatureExtractor, clip: Tensor) -> EncodedView:
    """(batch, frames, channels, height, width) -> a token per frame, stage maps averaged over frames."""
    frames = clip.shape[1]
    vectors, maps = extractor.extract(clip.flatten(0, 1))
    return EncodedView(
        vectors.unflatten(0, (-1, frames)),
        tuple(stage.unflatten(0, (-1, frames)).mean(dim=1) for stage in maps),
    )


class TemporalBranch(nn.Module):
    """What the order of frames adds to each: a linear layer and a norm behind a temporal module.

    "tsm" and "tea" look at the view's own frames unless features are given; "slowfast" needs them.
    """

    def __init__(self, method: str, width: int, feature_width: int) -> None:
        super().__init__()
        self.method = method
        self.source_width = feature_width if method == "slowfast" else width
        self.over_time = nn.Identity() if method == "slowfast" else TEMPORAL[method](width, FRAMES)
        self.project = nn.Linear(self.source_width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, features: Tensor | None = None) -> Tensor:
        """Frames (batch, frames, width) with what features (batch, steps, source width) say about them.

        Features of another number of steps are averaged: they then add the same to every frame.
        ValueError for "slowfast" without features, or features of another width.
        """
        if features is None and self.method == "slowfast":
            raise ValueError(
                f"slowfast: expected features (batch, steps, {self.source_width}) computed elsewhere, got "
                "none; pass them, or choose tsm or tea"
            )
        source = tokens if features is None else features
        if source.dim() != 3 or source.shape[-1] != self.source_width:
            raise ValueError(
                f"{self.method}: expected features (batch, steps, {self.source_width}), got "
                f"{tuple(source.shape)}"
            )
        added = self.norm(self.project(self.over_time(source)))
        return tokens + (added if added.shape[1] == tokens.shape[1] else added.mean(dim=1, keepdim=True))


class ViewEncoder(nn.Module):
    """Front end, extractor and, for some, a temporal branch: one view of a clip, frame by frame."""

    def __init__(
        self, front_end: nn.Module, extractor: FeatureExtractor, branch: TemporalBranch | None = None
    ) -> None:
        super().__init__()
        self.front_end, self.extractor, self.branch = front_end, extractor, branch

    def forward(self, x: Tensor, temporal: Tensor | None = None) -> EncodedView:
        """Encode clips.

        x:        see `as_clip`
        temporal: for a view with a branch: features (batch, steps, width), or a normalised video of which
                  this extractor makes them
        """
        view = encode_frames(self.extractor, as_clip(x, self.front_end))
        if self.branch is None:
            if temporal is not None:
                raise ValueError("temporal features: expected none, got some; set use_temporal in the config")
            return view
        if temporal is not None and temporal.dim() == 5:
            temporal = encode_frames(self.extractor, temporal).tokens
        return EncodedView(self.branch(view.tokens, temporal), view.maps)
