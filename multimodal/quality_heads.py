"""From an encoded clip to its quality: what both families of quality models have behind their encoders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from multimodal.clip_features import ClipFeatures, QualityFusion, pack_levels, unpack_levels
from multimodal.fusions.perceptron import perceptron
from multimodal.temporal import TemporalAttention

MapShapes = tuple[tuple[int, int, int], ...]  # (channels, height, width), fine to coarse


class ClipWires(NamedTuple):
    """What travels from the encoders to the fusion, in the order of its configuration.

    spatial_tokens:  (batch, frames, spatial width)
    spatial_maps:    (batch, all values of the four stage maps), averaged over frames
    temporal_tokens: (batch, steps, temporal width)
    temporal_levels: (batch, channels of the four stages)
    """

    spatial_tokens: Tensor
    spatial_maps: Tensor
    temporal_tokens: Tensor
    temporal_levels: Tensor


@dataclass(frozen=True)
class EncodedView:
    """One view of a batch of clips.

    tokens: (batch, frames, width)
    maps:   of the four stages, fine to coarse, each (batch, channels, height, width), averaged over frames
    """

    tokens: Tensor
    maps: tuple[Tensor, ...]

    @property
    def levels(self) -> tuple[Tensor, ...]:
        """Stage vectors, each (batch, channels)."""
        return tuple(stage.mean(dim=(2, 3)) for stage in self.maps)


@dataclass(frozen=True)
class EncodedClip:
    """Both views of a batch of clips: `ClipWires` before they are packed, so for pictures of any size.

    attention_map: (batch, frames, 1, height, width) of a model that attends to places, else None
    """

    spatial: EncodedView
    temporal_tokens: Tensor
    temporal_levels: tuple[Tensor, ...]
    attention_map: Tensor | None = None

    def wires(self) -> ClipWires:
        """The same, stage by stage in one tensor each."""
        maps, levels = pack_levels(self.spatial.maps), pack_levels(self.temporal_levels)
        return ClipWires(self.spatial.tokens, maps, self.temporal_tokens, levels)


class ScoreScale(nn.Module):
    """From what a head says to the units of the labels: std * raw + mean, both of the training labels."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("std", torch.ones(()))

    @torch.no_grad()
    def fit(self, labels: Tensor) -> None:
        """Take mean and deviation of the training labels, any shape; ValueError for fewer than two."""
        if labels.numel() < 2:
            raise ValueError(f"score scale: expected at least two labels, got {labels.numel()}")
        deviation, mean = torch.std_mean(labels.double(), correction=0)
        self.mean.copy_(mean)
        self.std.copy_(deviation if deviation > 0 else torch.ones_like(deviation))

    def forward(self, raw: Tensor) -> Tensor:
        """(...) as heads say it -> the same shape in label units."""
        return self.std * raw + self.mean


class FrameHead(nn.Module):
    """The score of every moment from its two tokens: one hidden layer on both, side by side."""

    def __init__(self, spatial_width: int, temporal_width: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(spatial_width + temporal_width)
        hidden = max(1, spatial_width // 2)
        self.score = perceptron(spatial_width + temporal_width, hidden, 1, dropout=dropout)

    def forward(self, spatial: Tensor, temporal: Tensor) -> Tensor:
        """(batch, frames, width) of each view -> (batch, frames); steps of another number are averaged."""
        if temporal.shape[1] != spatial.shape[1]:
            temporal = temporal.mean(dim=1, keepdim=True).expand(-1, spatial.shape[1], -1)
        return self.score(self.norm(torch.cat([spatial, temporal], dim=-1))).squeeze(-1)


def weigh(sequence: Tensor, weights: Tensor) -> Tensor:
    """(batch, steps, width) averaged with (batch, steps) -> (batch, width)."""
    return torch.matmul(weights.unsqueeze(1), sequence).squeeze(1)


@dataclass(frozen=True)
class AnswerParts:
    """What an answer is made of.

    fusion_name:     its name in `QUALITY_FUSIONS`
    head:            from the fused vector to a raw score; None for a fusion whose output is the score
    frame_attention: rates the steps of the temporal view; None counts all alike
    frame_head:      None for a model that does not score single moments
    weighs_both:     whether the weights of the temporal steps also average the spatial tokens
    """

    fusion_name: str
    fusion: QualityFusion
    head: nn.Module | None
    frame_attention: TemporalAttention | None = None
    frame_head: FrameHead | None = None
    weighs_both: bool = True


class QualityAnswer(nn.Module):
    """Frame weights, fusion, heads and scale: everything behind the wires.

    What depends on the choice of the fusion is in `OF_FUSION`; the rest is the same for all of them.
    """

    OF_FUSION = ("frame_attention.", "fusion.", "head.")

    def __init__(self, parts: AnswerParts, map_shapes: MapShapes, level_widths: tuple[int, ...]) -> None:
        super().__init__()
        self.fusion_name = parts.fusion_name
        self.weighs_both = parts.weighs_both
        self.map_shapes, self.level_widths = map_shapes, level_widths
        self.scale = ScoreScale()
        self.frame_head = parts.frame_head
        self.frame_attention = parts.frame_attention
        self.fusion = parts.fusion
        self.head = parts.head

    @property
    def parts(self) -> AnswerParts:
        """The parts it was made of."""
        return AnswerParts(
            self.fusion_name, self.fusion, self.head, self.frame_attention, self.frame_head, self.weighs_both
        )

    def fuse(self, wires: ClipWires) -> dict[str, Any]:
        """Answer for wires as `encode` gives them: see `answer`. Pictures had the size of the preset."""
        maps = unpack_levels(wires.spatial_maps, self.map_shapes)
        levels = unpack_levels(wires.temporal_levels, [(width,) for width in self.level_widths])
        return self.answer(
            EncodedClip(EncodedView(wires.spatial_tokens, maps), wires.temporal_tokens, levels)
        )

    def answer(self, clip: EncodedClip) -> dict[str, Any]:
        """Judge encoded clips.

        returns quality_score (batch, 1) in label units, fused_features (batch, width), fusion_info, a dict;
        frame_weights (batch, steps), which sum to 1, and the same as temporal_weights (batch, steps, 1);
        frame_scores (batch, frames) in label units of a model with a frame head, and attention_map (batch,
        frames, 1, height, width) of one that attends to places
        """
        features = self.features(clip)
        fused, info = self.fusion.fuse_clip(features)
        raw = fused if self.head is None else self.head(fused)
        output = {
            "quality_score": self.scale(raw),
            "fused_features": fused,
            "fusion_info": info,
            "frame_weights": features.frame_weights,
            "temporal_weights": features.frame_weights.unsqueeze(-1),
        }
        if self.frame_head is not None:
            output["frame_scores"] = self.scale(self.frame_head(features.spatial, features.temporal))
        if clip.attention_map is not None:
            output["attention_map"] = clip.attention_map
        return output

    def features(self, clip: EncodedClip) -> ClipFeatures:
        """Weigh the frames and gather what a fusion may read."""
        spatial, temporal = clip.spatial.tokens, clip.temporal_tokens
        if self.frame_attention is None:
            weights = torch.full_like(temporal[:, :, 0], 1 / temporal.shape[1])
        else:
            weights = self.frame_attention(temporal)[1].squeeze(-1)
        paired = self.weighs_both and spatial.shape[1] == temporal.shape[1]
        return ClipFeatures(
            spatial=spatial,
            temporal=temporal,
            frame_weights=weights,
            spatial_vector=weigh(spatial, weights) if paired else spatial.mean(dim=1),
            temporal_vector=weigh(temporal, weights),
            spatial_maps=clip.spatial.maps,
            temporal_levels=clip.temporal_levels,
        )
