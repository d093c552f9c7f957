"""The unified model: two extractors, one per view, a fusion of any kind and a head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from torch import Tensor, nn

from multimodal.attention import MultiHeadAttention
from multimodal.clip_features import ClipWidths
from multimodal.encoders.efficientnet_lite import LiteNormalise
from multimodal.encoders.feature_extractor import FeatureExtractor, unknown_name
from multimodal.front_ends import (
    BurstFrontEnd,
    ChangeFrontEnd,
    DetailFrontEnd,
    ImageNetNormalise,
    PixelFrontEnd,
)
from multimodal.fusions import QUALITY_FUSIONS
from multimodal.fusions.perceptron import perceptron
from multimodal.quality_extractors import build_extractor
from multimodal.quality_heads import (
    AnswerParts,
    ClipWires,
    EncodedClip,
    FrameHead,
    QualityAnswer,
)
from multimodal.quality_presets import PATCH_PX, QualityFusionSizes, Sampling
from multimodal.quality_views import TEMPORAL_METHODS, TemporalBranch, ViewEncoder
from multimodal.temporal import TemporalAttention

FRAME_POOLINGS = ("mean", "attention")


class Shown(NamedTuple):
    """What a view shows its extractor: from the pictures of a burst, the planes of one picture.

    planes, build: burst -> how many; burst -> the front end
    """

    planes: Callable[[int], int]
    build: Callable[[int], nn.Module]


# pictures as they are; as EfficientNet-Lite knows them; with planes that show damage more than content
STILL: dict[str, Shown] = {
    "pictures": Shown(lambda _: 3, lambda _: nn.Sequential(PixelFrontEnd(), ImageNetNormalise())),
    "lite": Shown(lambda _: 3, lambda _: nn.Sequential(PixelFrontEnd(), LiteNormalise())),
    "detail": Shown(lambda _: 6, lambda _: DetailFrontEnd(PATCH_PX)),
}
# the pictures of a burst as planes; what changes between them alone
MOVING: dict[str, Shown] = {
    "pictures": Shown(lambda burst: 3 * burst, BurstFrontEnd),
    "changes": Shown(lambda burst: 6 * (burst - 1), ChangeFrontEnd),
}


@dataclass(frozen=True)
class VQAFusionConfig:
    """Sizes of a unified model. What training needs is said in training.

    spatial_backbone_1, spatial_backbone_2: a family or a size of `encoders.BACKBONES`, one per view
    use_temporal:         add to the first view's frames what `temporal_method` makes of their order
    temporal_feature_dim: width of the features that "slowfast" takes from elsewhere
    frame_pooling:        how much each moment counts: all alike, or as attention to the second view says
    frame_head:           score single moments too
    still, moving:        what the views are shown: names in `STILL` and `MOVING`
    sampling:             size of the pictures and frames per burst of the second view, for the wires
    """

    feature_dim: int = 512
    dropout: float = 0.1
    spatial_backbone_1: str = "efficientnet"
    spatial_backbone_2: str = "vit"
    use_temporal: bool = False
    temporal_method: str = "tsm"
    temporal_feature_dim: int = 2304
    fusion_strategy: str = "cross_attention"
    num_heads: int = 8
    attention_dropout: float = 0.1
    num_experts: int = 4
    gate_hidden_dim: int = 256
    frame_pooling: str = "mean"
    frame_head: bool = False
    still: str = "pictures"
    moving: str = "pictures"
    sampling: Sampling = field(default_factory=lambda: Sampling(size_px=224, fragments_px=224))

    def __post_init__(self) -> None:
        for what, name, known in (
            ("fusion_strategy", self.fusion_strategy, tuple(QUALITY_FUSIONS)),
            ("temporal_method", self.temporal_method, TEMPORAL_METHODS),
            ("frame_pooling", self.frame_pooling, FRAME_POOLINGS),
            ("still", self.still, tuple(STILL)),
            ("moving", self.moving, tuple(MOVING)),
        ):
            if name not in known:
                raise unknown_name(what, name, known)

    @property
    def fusion_sizes(self) -> QualityFusionSizes:
        """What fusions read of it."""
        return QualityFusionSizes(
            self.feature_dim, self.num_heads, self.num_experts, self.gate_hidden_dim, self.dropout
        )


class UnifiedVQAFusionModel(QualityAnswer):
    """Two extractors see the two views of a clip; their tokens and stages are fused and judged.

    extractors: of the first and of the second view; built by name from the config when left out
    """

    def __init__(
        self,
        config: VQAFusionConfig | None = None,
        extractors: tuple[FeatureExtractor, FeatureExtractor] | None = None,
    ) -> None:
        config = config or VQAFusionConfig()
        width, sampling = config.feature_dim, config.sampling
        first, second = extractors or (
            build_extractor(config.spatial_backbone_1, width, STILL[config.still].planes(1)),
            build_extractor(config.spatial_backbone_2, width, MOVING[config.moving].planes(sampling.burst)),
        )
        branch = (
            TemporalBranch(config.temporal_method, width, config.temporal_feature_dim)
            if config.use_temporal
            else None
        )
        map_shapes = first.map_shapes(sampling.fragments_px or sampling.size_px)
        super().__init__(_parts(config, first, second), map_shapes, second.map_dims)
        self.config = config
        self.spatial_encoder = ViewEncoder(STILL[config.still].build(1), first, branch)
        self.temporal_encoder = ViewEncoder(MOVING[config.moving].build(sampling.burst), second)

    def forward(self, x1: Tensor, x2: Tensor | None = None, temporal: Tensor | None = None) -> dict[str, Any]:
        """Judge clips or single pictures; see `QualityAnswer.answer` for what comes back.

        x1, x2:   (batch, frames, channels, height, width) or (batch, channels, height, width), normalised;
                  or (batch, frames, height, width, 3) uint8 as decoded, x2 then with all frames of its
                  bursts. The second view is x1 when left out
        temporal: for a model with `use_temporal`: features (batch, steps, width), or a normalised video of
                  which the first extractor makes them
        """
        return self.answer(self.encode_clip(x1, x1 if x2 is None else x2, temporal))

    def encode(self, views: Mapping[str, Tensor]) -> ClipWires:
        """The wires of decoded clips.

        views: video_fragments (batch, 8, fragments, fragments, 3) and video_frames (batch, 8 * burst, size,
               size, 3), both uint8; temporal_features (batch, steps, width) where the model needs them
        """
        features = views.get("temporal_features")
        return self.encode_clip(views["video_fragments"], views["video_frames"], features).wires()

    def encode_clip(self, x1: Tensor, x2: Tensor, temporal: Tensor | None = None) -> EncodedClip:
        """Both views, encoded; arguments as in `forward`."""
        second = self.temporal_encoder(x2)
        return EncodedClip(self.spatial_encoder(x1, temporal), second.tokens, second.levels)


def _parts(config: VQAFusionConfig, first: FeatureExtractor, second: FeatureExtractor) -> AnswerParts:
    """The answer's parts; what no fusion changes is built first, so that a seed gives it alike."""
    width, dropout = config.feature_dim, config.dropout
    frame_head = FrameHead(width, width, dropout) if config.frame_head else None
    widths = ClipWidths(width, width, first.map_dims, second.map_dims)
    fusion = QUALITY_FUSIONS[config.fusion_strategy].from_sizes(widths, config.fusion_sizes)
    for module in cast(nn.Module, fusion).modules():
        if isinstance(module, MultiHeadAttention):
            module.dropout.p = config.attention_dropout
    out = fusion.out_width
    return AnswerParts(
        config.fusion_strategy,
        fusion,
        None if fusion.is_score else perceptron(out, out // 2, out // 4, 1, dropout=dropout),
        TemporalAttention(width) if config.frame_pooling == "attention" else None,
        frame_head,
    )
