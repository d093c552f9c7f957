"""ConvNeXt: mean, maximum and an attended mean of its last map; every stage through its own projection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ConvNextConfig, ConvNextModel

from multimodal.encoders.backbone import load_backbone
from multimodal.encoders.feature_extractor import BackboneExtractor, StageBackbone, Stages, unknown_name

SMALLEST_SUM = 1e-6  # of attention weights over a map

CONVNEXTS: dict[str, dict[str, Any]] = {
    "convnext_tiny": {"hidden_sizes": [96, 192, 384, 768], "depths": [3, 3, 9, 3]},
    "convnext_small": {"hidden_sizes": [96, 192, 384, 768], "depths": [3, 3, 27, 3]},
    "convnext_base": {"hidden_sizes": [128, 256, 512, 1024], "depths": [3, 3, 27, 3]},
    "convnext_large": {"hidden_sizes": [192, 384, 768, 1536], "depths": [3, 3, 27, 3]},
    # Pictures of 64 px give maps of 16, 8, 4 and 2. Published weights start from N(0, 0.02), which at a third
    # of their width leaves the residual branches at a hundredth of the signal.
    "convnext_small_64": {
        "hidden_sizes": [32, 64, 128, 160],
        "depths": [2, 2, 2, 1],
        "image_size": 64,
        "initializer_range": 0.1,
        "drop_path_rate": 0.0,
    },
    "convnext_tiny_32": {
        "hidden_sizes": [8, 8, 16, 16],
        "depths": [1, 1, 1, 1],
        "image_size": 32,
        "initializer_range": 0.2,
        "drop_path_rate": 0.0,
    },
}


class ConvNeXtBackbone(StageBackbone):
    """ConvNeXt without its classifier: a 4x4 stem of stride 4, then 7x7 depthwise blocks.

    Its last LayerNorm, which the published network applies to the pooled vector, is also applied to every
    position of the last map. top: False leaves it out, for the four stage maps do not pass through it.
    Source: Liu et al., A ConvNet for the 2020s (arXiv 2201.03545).
    """

    def __init__(self, model: ConvNextModel, top: bool = True) -> None:
        config: Any = model.config
        widths = tuple(config.hidden_sizes)
        super().__init__(widths[-1], widths, config.num_channels, config.image_size)
        self.stem, self.blocks = model.embeddings, model.encoder.stages
        self.norm = model.layernorm if top else nn.Identity()
        self.patch_px = config.patch_size

    @classmethod
    def from_name(
        cls,
        name: str = "convnext_base",
        in_channels: int = 3,
        top: bool = True,
        layer_scale_init_value: float = 1.0,
    ) -> ConvNeXtBackbone:
        """Random weights at the sizes of `CONVNEXTS`, else ValueError."""
        if name not in CONVNEXTS:
            raise unknown_name("convnext", name, CONVNEXTS)
        options = {"drop_path_rate": 0.1, "layer_scale_init_value": layer_scale_init_value, **CONVNEXTS[name]}
        return cls(ConvNextModel(ConvNextConfig(num_channels=in_channels, **options)), top)

    @classmethod
    def from_pretrained(cls, source: str | Path, top: bool = True) -> ConvNeXtBackbone:
        """Weights from a hub id (`facebook/convnext-base-224`) or a folder, else OSError."""
        return cls(load_backbone(ConvNextModel, source), top)

    def run(self, x: Tensor) -> Stages:
        """(batch, in_channels, height, width) -> stages."""
        x = self.stem(x)
        maps = []
        for stage in self.blocks:
            x = stage(x)
            maps.append(x)
        last = self.norm(x.movedim(1, -1)).movedim(-1, 1)
        return Stages(tuple(maps), last, self.norm(x.mean(dim=(2, 3))))

    def stage_sides(self, size_px: int) -> tuple[int, ...]:
        """Sides of the four maps of a square picture of size_px."""
        return tuple(size_px // self.patch_px // 2**halvings for halvings in range(4))


class ConvNeXtExtractor(BackboneExtractor):
    """Three poolings of the last map averaged, then two linear layers; real stage maps beside them.

    The maps have out_dim / 4, out_dim / 4, out_dim / 2 and out_dim channels.
    layer_scale_init_value: start of the factor on every value of the vector. There is no residual path around
    it, so the tiny value of residual branches would silence the whole extractor.
    """

    def __init__(
        self,
        backbone: ConvNeXtBackbone | None = None,
        out_dim: int = 512,
        drop_rate: float = 0.1,
        layer_scale_init_value: float = 1.0,
    ) -> None:
        super().__init__(backbone or ConvNeXtBackbone.from_name(), out_dim)
        width = self.backbone.feature_dim
        narrow = max(1, width // 8)
        self.attention = nn.Sequential(
            nn.Conv2d(width, narrow, 1), nn.ReLU(), nn.Conv2d(narrow, 1, 1), nn.Sigmoid()
        )
        self.head = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, width // 2),
            nn.GELU(),
            nn.Dropout(drop_rate),
            nn.Linear(width // 2, out_dim),
            nn.LayerNorm(out_dim),
        )
        self.layer_scale = nn.Parameter(torch.full((out_dim,), layer_scale_init_value))
        self.map_dims = (out_dim // 4, out_dim // 4, out_dim // 2, out_dim)
        self.stage_projections = nn.ModuleList(
            nn.Conv2d(width, out, 1)
            for width, out in zip(self.backbone.stage_dims, self.map_dims, strict=True)
        )

    @classmethod
    def from_name(
        cls, name: str = "convnext_base", out_dim: int = 512, in_channels: int = 3, **head: Any
    ) -> ConvNeXtExtractor:
        """Random weights at the sizes of `CONVNEXTS`; head: drop_rate, layer_scale_init_value."""
        return cls(ConvNeXtBackbone.from_name(name, in_channels), out_dim, **head)

    @classmethod
    def from_pretrained(cls, source: str | Path, out_dim: int = 512, **head: Any) -> ConvNeXtExtractor:
        """Backbone weights from a hub id or a folder, else OSError; the head is random."""
        return cls(ConvNeXtBackbone.from_pretrained(source), out_dim, **head)

    def vector(self, stages: Stages) -> Tensor:
        """(batch, out_dim)."""
        last = stages.last
        weights = self.attention(last)  # (batch, 1, height, width)
        attended = (last * weights).sum(dim=(2, 3)) / weights.sum(dim=(2, 3)).clamp(min=SMALLEST_SUM)
        pooled = (last.mean(dim=(2, 3)) + last.amax(dim=(2, 3)) + attended) / 3
        return self.head(pooled) * self.layer_scale

    def tokens(self, stages: Stages) -> Tensor:
        """(batch, positions, out_dim): what the vector would be if the picture were that position alone."""
        return self.head(stages.last.flatten(2).transpose(1, 2)) * self.layer_scale

    def maps(self, stages: Stages) -> tuple[Tensor, ...]:
        """Every stage through its own 1x1 convolution."""
        pairs = zip(self.stage_projections, stages.maps, strict=True)
        return tuple(projection(stage) for projection, stage in pairs)
