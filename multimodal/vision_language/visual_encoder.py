"""A photo becomes one vector: any trunk with stages, pooled, and a linear layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from multimodal.encoders.efficientnet import EfficientNetBackbone
from multimodal.encoders.efficientnet_lite import EfficientNetLiteBackbone, LiteNormalise
from multimodal.encoders.feature_extractor import StageBackbone
from multimodal.encoders.resnet import ResNetBackbone
from multimodal.encoders.vit import ViTBackbone
from multimodal.front_ends import ImageNetNormalise
from multimodal.pretrained import efficientnet_lite0_file


@dataclass(frozen=True)
class VisualTrunk:
    """One entry of the table.

    build:     with random weights
    normalise: [0, 1] to what the published weights were trained on
    load:      published weights from a folder, a hub id or a file; where they lie by themselves in `shipped`
    """

    build: Callable[[], StageBackbone]
    normalise: type[nn.Module]
    load: Callable[[Path | str], StageBackbone] | None = None
    shipped: Callable[[], Path] | None = None


VISUAL_TRUNKS: dict[str, VisualTrunk] = {
    "resnet-50": VisualTrunk(ResNetBackbone.from_name, ImageNetNormalise, ResNetBackbone.from_pretrained),
    "vit_base_patch16_224": VisualTrunk(
        partial(ViTBackbone.from_name, "vit_base_patch16_224"), ImageNetNormalise, ViTBackbone.from_pretrained
    ),
    "efficientnet-lite0": VisualTrunk(
        partial(EfficientNetLiteBackbone, top=False),
        LiteNormalise,
        lambda source: EfficientNetLiteBackbone.from_file(Path(source), top=False),
        efficientnet_lite0_file,
    ),
    "efficientnet-tiny": VisualTrunk(
        partial(EfficientNetBackbone.from_name, "efficientnet-tiny", top=False), ImageNetNormalise
    ),
}


class VisualEncoder(nn.Module):
    """Trunk, global average pooling, Linear(trunk's width -> feature_dim).

    backbone:  any trunk; ResNet-50 with random weights when left out
    grid:      0: the trunk's own vector. Above: mean and maximum of each of the four stage maps, for colour
               lives in early ones and a small shape in a maximum, and the means of grid x grid cells of the
               map at stride 8, for place
    normalise: what turns [0, 1] into the trunk's own range
    With ResNet-50: 23,508,032 + 1,049,088 parameters. A frozen backbone is `backbone.freeze()`.
    """

    def __init__(
        self,
        feature_dim: int = 512,
        backbone: StageBackbone | None = None,
        grid: int = 0,
        normalise: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.normalise = normalise or ImageNetNormalise()
        self.backbone = backbone or ResNetBackbone.from_name()
        self.grid = grid
        widths = self.backbone.stage_dims
        self.pooled_dim = 2 * sum(widths) + grid**2 * widths[1] if grid else self.backbone.feature_dim
        self.projection = nn.Linear(self.pooled_dim, feature_dim)

    def pool(self, images: Tensor) -> Tensor:
        """(batch, 3, height, width) in [0, 1] -> (batch, pooled_dim), what a frozen trunk never changes."""
        stages = self.backbone.stages(self.normalise(images))
        if not self.grid:
            return stages.summary
        pooled = [vector for one in stages.maps for vector in (one.mean(dim=(2, 3)), one.amax(dim=(2, 3)))]
        placed = stages.maps[1]  # (batch, channels, height / 8, width / 8)
        cells = functional.avg_pool2d(placed, placed.shape[-1] // self.grid)
        return torch.cat([*pooled, cells.flatten(1)], dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, 3, height, width) in [0, 1] -> (batch, feature_dim)."""
        return self.projection(self.pool(images))
