"""ResNet: the classic trunk, for feature pyramids and as the yardstick of the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import ResNetConfig, ResNetModel

from multimodal.encoders.backbone import load_backbone
from multimodal.encoders.feature_extractor import StageBackbone, Stages, unknown_name

RESNETS: dict[str, dict[str, Any]] = {
    "resnet-50": {"hidden_sizes": [256, 512, 1024, 2048], "depths": [3, 4, 6, 3]},
}


class ResNetBackbone(StageBackbone):
    """ResNet of bottleneck blocks without its classifier. Source: He et al. (arXiv 1512.03385)."""

    def __init__(self, model: ResNetModel) -> None:
        config: Any = model.config
        widths = tuple(config.hidden_sizes)
        super().__init__(widths[-1], widths, config.num_channels, native_px=224)
        self.stem, self.blocks = model.embedder, model.encoder.stages

    @classmethod
    def from_name(cls, name: str = "resnet-50", in_channels: int = 3) -> ResNetBackbone:
        """Random weights at the sizes of `RESNETS`, else ValueError."""
        if name not in RESNETS:
            raise unknown_name("resnet", name, RESNETS)
        return cls(ResNetModel(ResNetConfig(num_channels=in_channels, **RESNETS[name])))

    @classmethod
    def from_pretrained(cls, source: str | Path) -> ResNetBackbone:
        """Weights from a hub id (`microsoft/resnet-50`) or a folder, else OSError."""
        return cls(load_backbone(ResNetModel, source))

    def run(self, x: Tensor) -> Stages:
        """(batch, in_channels, height, width) -> stages."""
        x = self.stem(x)
        maps = []
        for stage in self.blocks:
            x = stage(x)
            maps.append(x)
        return Stages(tuple(maps), x, x.mean(dim=(2, 3)))

    def stage_sides(self, size_px: int) -> tuple[int, ...]:
        """Sides of the four maps of a square picture of size_px: every halving rounds up."""
        sides = [size_px]
        for _ in range(5):
            sides.append(-(-sides[-1] // 2))
        return tuple(sides[2:])
