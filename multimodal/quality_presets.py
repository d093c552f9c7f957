"""Every size of every video quality model: a preset is complete, frozen and refuses nonsense.

`video_quality_unified` and `video_quality_optimised` have the published sizes of their documents,
`video_quality_small` runs on two CPU cores, `video_quality_tiny` is for tests.
"""

from __future__ import annotations

from dataclasses import dataclass, field

FRAMES = 8  # every preset samples as many, so that the pipeline's outside is one
PATCH_PX = 32


@dataclass(frozen=True)
class Sampling:
    """What is cut out of a video: `FRAMES` evenly spaced moments.

    size_px:      whole frames, stretched to a square of this size
    burst:        frames taken from each moment on, one after another: 2 show what moves, flickers or stalls
    fragments_px: square mosaic of 32 px patches at the video's own resolution, of the first frame of each
                  moment; 0 for models that do not look at them
    """

    size_px: int
    burst: int = 1
    fragments_px: int = 0

    def __post_init__(self) -> None:
        if self.size_px < 32 or self.burst < 1:
            raise ValueError(f"sampling: expected 32 px and a burst of 1, got {self.size_px}, {self.burst}")
        if self.fragments_px % PATCH_PX:
            raise ValueError(
                f"sampling: expected fragments of whole {PATCH_PX} px patches, got {self.fragments_px} px"
            )


@dataclass(frozen=True)
class QualityFusionSizes:
    """Sizes that fusions share; each takes those it has a use for.

    width: of what a fusion hands to the head; gate_width: hidden layer of gates
    """

    width: int = 512
    heads: int = 8
    experts: int = 4
    gate_width: int = 256
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.width < 1 or self.width % self.heads:
            raise ValueError(f"fusion: expected a width that {self.heads} heads divide, got {self.width}")
        if self.experts < 1 or not 0 <= self.dropout < 1:
            raise ValueError(
                f"fusion: expected an expert and a dropout in [0, 1), got {self.experts}, {self.dropout}"
            )


@dataclass(frozen=True)
class VideoQualityPreset:
    """One complete set of sizes for the video quality pipeline.

    family:   "unified" (two extractors, one per view) or "optimised" (one trunk for both views)
    spatial, temporal: names in the tables of extractors; an optimised model has only the first
    feature_width: of the tokens of both views
    still, moving: what the views are shown: names in `unified_quality.STILL` and `MOVING`
    """

    name: str
    family: str
    sampling: Sampling
    spatial: str
    temporal: str
    feature_width: int
    default_fusion: str
    fusion: QualityFusionSizes = field(default_factory=QualityFusionSizes)
    still: str = "pictures"
    moving: str = "pictures"

    def __post_init__(self) -> None:
        if self.family not in ("unified", "optimised"):
            raise ValueError(f"{self.name}: expected family unified or optimised, got {self.family}")
        if (self.family == "unified") != bool(self.sampling.fragments_px and self.temporal):
            raise ValueError(f"{self.name}: expected two extractors and fragments in the unified family only")


QUALITY_PRESETS: dict[str, VideoQualityPreset] = {
    preset.name: preset
    for preset in (
        VideoQualityPreset(
            "video_quality_unified",
            "unified",
            Sampling(size_px=224, fragments_px=224),
            spatial="efficientnet-b3",
            temporal="vit_base_patch16_224",
            feature_width=512,
            default_fusion="cross_attention",
        ),
        VideoQualityPreset(
            "video_quality_optimised",
            "optimised",
            Sampling(size_px=384),
            spatial="efficientnet-b4",
            temporal="",
            feature_width=256,
            default_fusion="space_time_cross_attention",
        ),
        VideoQualityPreset(
            "video_quality_small",
            "unified",
            Sampling(size_px=64, burst=2, fragments_px=96),
            spatial="efficientnet-lite0-shallow",
            temporal="efficientnet-small",
            feature_width=64,
            default_fusion="quality_aware",
            fusion=QualityFusionSizes(width=64, heads=4, gate_width=64, dropout=0.3),
            still="lite",
            moving="changes",
        ),
        VideoQualityPreset(
            "video_quality_tiny",
            "unified",
            Sampling(size_px=32, burst=2, fragments_px=32),
            spatial="efficientnet-tiny",
            temporal="convnext_tiny_32",
            feature_width=16,
            default_fusion="gated",
            fusion=QualityFusionSizes(width=16, heads=2, gate_width=16),
            still="detail",
            moving="changes",
        ),
    )
}
