"""The dense graphs of the video quality models: positional tensors, in the order of each configuration."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from multimodal.absent import zero_absent
from multimodal.clip_features import evidence_of, pack_levels
from multimodal.fusions import QUALITY_FUSIONS
from multimodal.optimised_quality import OptimizedVQAModel
from multimodal.quality_build import QualityModel
from multimodal.quality_heads import ClipWires, QualityAnswer
from multimodal.unified_quality import UnifiedVQAFusionModel


class ServedSpatialEncoder(nn.Module):
    """The first view of a unified model."""

    def __init__(self, model: UnifiedVQAFusionModel) -> None:
        super().__init__()
        self.encoder = model.spatial_encoder

    def forward(self, video_fragments: Tensor, video_valid: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (batch, 8, width) and packed stage maps (batch, values); zeros where not valid."""
        view = self.encoder(video_fragments)
        return zero_absent(view.tokens, video_valid), zero_absent(pack_levels(view.maps), video_valid)


class ServedTemporalEncoder(nn.Module):
    """The second view of a unified model."""

    def __init__(self, model: UnifiedVQAFusionModel) -> None:
        super().__init__()
        self.encoder = model.temporal_encoder

    def forward(self, video_frames: Tensor, video_valid: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (batch, 8, width) and packed stage vectors (batch, channels); zeros where not valid."""
        view = self.encoder(video_frames)
        return zero_absent(view.tokens, video_valid), zero_absent(pack_levels(view.levels), video_valid)


class ServedTrunk(nn.Module):
    """Both views of an optimised model, of one pass."""

    def __init__(self, model: OptimizedVQAModel) -> None:
        super().__init__()
        self.encoder = model.encoder

    def forward(self, video_frames: Tensor, video_valid: Tensor) -> tuple[Tensor, ...]:
        """The four tensors of `ClipWires`; zeros where not valid."""
        return tuple(zero_absent(wire, video_valid) for wire in self.encoder(video_frames).wires())


class ServedQualityFusion(nn.Module):
    """Frame weights, fusion, heads and scale; ValueError for a model that does not score single moments.

    constant_outputs: what depends on no input but the mask, for a comparison that must not call it dead
    """

    def __init__(self, model: QualityModel) -> None:
        super().__init__()
        if model.frame_head is None:
            raise ValueError("served fusion: expected a model with a frame head, got none; set frame_head")
        self.judge = QualityAnswer(model.parts, model.map_shapes, model.level_widths)
        self.judge.scale = model.scale
        self.index = list(QUALITY_FUSIONS).index(model.fusion_name)
        weighs = bool(model.fusion.evidence.key)
        self.constant_outputs = frozenset(
            {"fusion_shape", "fusion_index"} | (set() if weighs else {"fusion_weights"})
        )

    def forward(
        self,
        spatial_tokens: Tensor,
        spatial_maps: Tensor,
        temporal_tokens: Tensor,
        temporal_levels: Tensor,
        video_valid: Tensor,
    ) -> tuple[Tensor, ...]:
        """Judge; all outputs of a row that is not valid are zeros.

        returns: quality_score (batch, 1) and frame_scores (batch, 8) in label units, frame_weights (batch,
                 8), fusion_weights (batch, 4, 16), fusion_shape (batch, 2) and fusion_index (batch, 1) int32
        """
        wires = ClipWires(spatial_tokens, spatial_maps, temporal_tokens, temporal_levels)
        said = self.judge.fuse(wires)
        weights, shape = evidence_of(self.judge.fusion, said["fusion_info"], said["fused_features"])
        there = video_valid.to(torch.int32)  # (batch, 1)
        answers = (said["quality_score"], said["frame_scores"], said["frame_weights"], weights)
        return (
            *(zero_absent(answer, video_valid) for answer in answers),
            torch.cat([there * side for side in shape], dim=1),
            there * self.index,
        )


def served_part(model: QualityModel, part: str) -> nn.Module:
    """The module of one served model; part: its name behind the preset's, such as `spatial_encoder`.

    ValueError for a part that a model of this family has not.
    """
    if part == "fusion":
        return ServedQualityFusion(model)
    if isinstance(model, OptimizedVQAModel) and part == "encoder":
        return ServedTrunk(model)
    if isinstance(model, UnifiedVQAFusionModel) and part == "spatial_encoder":
        return ServedSpatialEncoder(model)
    if isinstance(model, UnifiedVQAFusionModel) and part == "temporal_encoder":
        return ServedTemporalEncoder(model)
    raise ValueError(f"video quality: expected a part of a {type(model).__name__}, got '{part}'")
