"""The optimised model: one trunk for both views, a pyramid and attention over places, attention over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from multimodal.clip_features import ClipWidths
from multimodal.encoders.feature_extractor import StageBackbone, Stages, unknown_name
from multimodal.feature_maps import POOLS, FeaturePyramidNetwork, SpatialAttention
from multimodal.front_ends import BurstFrontEnd
from multimodal.fusions import QUALITY_FUSIONS
from multimodal.fusions.perceptron import perceptron
from multimodal.quality_extractors import build_trunk
from multimodal.quality_heads import (
    AnswerParts,
    ClipWires,
    EncodedClip,
    EncodedView,
    FrameHead,
    MapShapes,
    QualityAnswer,
)
from multimodal.quality_presets import FRAMES, QualityFusionSizes, Sampling
from multimodal.quality_views import as_clip
from multimodal.temporal import TEMPORAL, TemporalAttention

SLOWFAST = "slowfast"
SLOWFAST_WIDTH = 2304  # of published SlowFast features: 2048 of the slow path, 256 of the fast one
HEAD_DROPOUT = 0.5


@dataclass(frozen=True)
class OptimizedVQAConfig:
    """Sizes of an optimised model; all widths are derived, none is configured twice.

    spatial_backbone: a family or a size of `encoders.BACKBONES`
    use_fpn:          judge the coarsest level of a feature pyramid of fpn_channels; else the last map
    temporal_model:   entry of `TEMPORAL` on the trunk's own maps, or "slowfast": features computed elsewhere
    external_width:   of such features; above 0 any temporal model works on them. 0: the maps, or slowfast's
    fusion_type:      entry of `QUALITY_FUSIONS`
    spatial_feature_dim, temporal_feature_dim: ValueError unless the derived widths are these
    sampling:         size of the pictures and frames per burst, for the wires
    """

    spatial_backbone: str = "efficientnet-b4"
    use_fpn: bool = True
    fpn_channels: int = 256
    use_spatial_attention: bool = True
    pooling_type: str = "attention"
    temporal_model: str = "tea"
    n_segments: int = FRAMES
    external_width: int = 0
    use_temporal_attention: bool = True
    fusion_type: str = "space_time_cross_attention"
    fusion: QualityFusionSizes = field(default_factory=QualityFusionSizes)
    spatial_feature_dim: int | None = None
    temporal_feature_dim: int | None = None
    frame_head: bool = False
    sampling: Sampling = field(default_factory=lambda: Sampling(size_px=384))

    def __post_init__(self) -> None:
        for what, name, known in (
            ("fusion_type", self.fusion_type, tuple(QUALITY_FUSIONS)),
            ("temporal_model", self.temporal_model, (*TEMPORAL, SLOWFAST)),
            ("pooling_type", self.pooling_type, tuple(POOLS)),
        ):
            if name not in known:
                raise unknown_name(what, name, known)

    @property
    def features_width(self) -> int:
        """Width of the features that come from elsewhere; 0 for a model that makes its own."""
        return self.external_width or (SLOWFAST_WIDTH if self.temporal_model == SLOWFAST else 0)


class TrunkEncoder(nn.Module):
    """Both views of one pass: the frames as they are, and as a temporal module sees them.

    space, time: widths of the tokens of the two views
    """

    def __init__(self, config: OptimizedVQAConfig, trunk: StageBackbone) -> None:
        super().__init__()
        self.space = config.fpn_channels if config.use_fpn else trunk.feature_dim
        self.time = config.features_width or self.space
        _check_widths(config, self.space, self.time)
        self.features_width, self.method = config.features_width, config.temporal_model
        self.front_end = BurstFrontEnd(config.sampling.burst)
        self.trunk = trunk
        self.pyramid = FeaturePyramidNetwork(trunk.stage_dims, self.space) if config.use_fpn else None
        self.spatial_attention = SpatialAttention(self.space) if config.use_spatial_attention else None
        self.pool = POOLS[config.pooling_type](self.space)
        self.over_time = (
            nn.Identity() if self.method == SLOWFAST else TEMPORAL[self.method](self.time, config.n_segments)
        )

    def map_shapes(self, size_px: int) -> MapShapes:
        """(channels, height, width) of the stage maps of a square picture of size_px."""
        pairs = zip(self.trunk.stage_dims, self.trunk.stage_sides(size_px), strict=True)
        return tuple((width, side, side) for width, side in pairs)

    def forward(self, video: Tensor, temporal: Tensor | None = None) -> EncodedClip:
        """Encode clips; arguments as in `OptimizedVQAModel.forward`."""
        clip = as_clip(video, self.front_end)
        frames = clip.shape[1]
        stages = self.trunk.stages(clip.flatten(0, 1))
        judged = self._judged_map(stages)  # (batch * frames, channels, height, width)
        attention = None
        if self.spatial_attention is not None:
            judged, attention = self.spatial_attention(judged)
            attention = attention.unflatten(0, (-1, frames))
        by_clip = [stage.unflatten(0, (-1, frames)) for stage in stages.maps]
        return EncodedClip(
            EncodedView(
                self.pool(judged).unflatten(0, (-1, frames)), tuple(stage.mean(dim=1) for stage in by_clip)
            ),
            self._steps(judged.unflatten(0, (-1, frames)), temporal),
            tuple(change_level(stage) for stage in by_clip),
            attention,
        )

    def _judged_map(self, stages: Stages) -> Tensor:
        """The map that both views are read from: the pyramid's coarsest level, or the trunk's last map."""
        return stages.last if self.pyramid is None else self.pyramid(stages.maps)[-1]

    def _steps(self, maps: Tensor, features: Tensor | None) -> Tensor:
        """The temporal view (batch, steps, width) of maps (batch, frames, channels, h, w) or of features."""
        width = self.features_width
        if not width:
            if features is not None:
                raise ValueError("temporal features: expected none, got some; set external_width")
            return self.pool(self.over_time(maps).flatten(0, 1)).unflatten(0, (-1, maps.shape[1]))
        if features is None or features.dim() != 3 or features.shape[-1] != width:
            came = "none" if features is None else tuple(features.shape)
            raise ValueError(
                f"{self.method}: expected features (batch, steps, {width}) computed elsewhere, got {came}"
            )
        return self.over_time(features)


class OptimizedVQAModel(QualityAnswer):
    """One trunk, a pyramid and attention over places; then what every quality model has behind its encoders.

    trunk: built by name from the config when left out
    """

    def __init__(self, config: OptimizedVQAConfig | None = None, trunk: StageBackbone | None = None) -> None:
        config = config or OptimizedVQAConfig()
        channels = 3 * config.sampling.burst
        encoder = TrunkEncoder(
            config, trunk or build_trunk(config.spatial_backbone, channels, top=not config.use_fpn)
        )
        stages = encoder.trunk.stage_dims
        parts = _parts(config, ClipWidths(encoder.space, encoder.time, stages, stages))
        super().__init__(parts, encoder.map_shapes(config.sampling.size_px), stages)
        self.config = config
        self.encoder = encoder

    def forward(self, video: Tensor, temporal: Tensor | None = None) -> dict[str, Any]:
        """Judge clips; see `QualityAnswer.answer` for what comes back.

        video:    (batch, frames, channels, height, width), normalised, or (batch, frames * burst, height,
                  width, 3) uint8 as decoded
        temporal: features (batch, steps, width) for a model that does not make its own
        """
        return self.answer(self.encoder(video, temporal))

    def encode(self, views: Mapping[str, Tensor]) -> ClipWires:
        """The wires of decoded clips.

        views: video_frames (batch, 8 * burst, size, size, 3) uint8; temporal_features (batch, steps, width)
               where the model needs them
        """
        clip: EncodedClip = self.encoder(views["video_frames"], views.get("temporal_features"))
        return clip.wires()


def change_level(stage: Tensor) -> Tensor:
    """How much a stage changes from moment to moment: mean absolute difference, zero for a single moment.

    (batch, frames, channels, height, width) -> (batch, channels)
    """
    if stage.shape[1] == 1:
        return torch.zeros_like(stage[:, 0, :, 0, 0])
    return (stage[:, 1:] - stage[:, :-1]).abs().mean(dim=(1, 3, 4))


def _check_widths(config: OptimizedVQAConfig, space: int, time: int) -> None:
    for name, wanted, derived in (
        ("spatial_feature_dim", config.spatial_feature_dim, space),
        ("temporal_feature_dim", config.temporal_feature_dim, time),
    ):
        if wanted not in (None, derived):
            raise ValueError(f"{name}: expected {derived}, which the other sizes give, got {wanted}")


def _parts(config: OptimizedVQAConfig, widths: ClipWidths) -> AnswerParts:
    """The answer's parts; what no fusion changes is built first, so that a seed gives it alike."""
    frame_head = FrameHead(widths.spatial, widths.temporal) if config.frame_head else None
    fusion = QUALITY_FUSIONS[config.fusion_type].from_sizes(widths, config.fusion)
    out = fusion.out_width
    return AnswerParts(
        config.fusion_type,
        fusion,
        None if fusion.is_score else perceptron(out, out // 4, 1, dropout=HEAD_DROPOUT),
        TemporalAttention(widths.temporal) if config.use_temporal_attention else None,
        frame_head,
        weighs_both=False,
    )
