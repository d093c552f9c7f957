"""Means and deviations of the early stages of a network that knows pictures: what damage changes first.

Early stages answer to edges, textures and their loss, whatever is in the picture; the last ones name what
is in it. Sources: Gatys et al., "Texture Synthesis Using Convolutional Neural Networks" (2015), for
statistics of stages; Zhang et al., "The Unreasonable Effectiveness of Deep Features" (2018), for damage.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from multimodal.encoders.efficientnet_lite import EfficientNetLiteBackbone
from multimodal.encoders.feature_extractor import BackboneExtractor, StageBackbone, Stages

ENDS = (2, 4, 7, 10)  # blocks after which a stage ends: at strides 4, 8, 16 and, wider, 16 again
WIDTHS = (24, 40, 80, 112)
TINY = 1e-6  # of a variance, whose root has no slope at zero


class ShallowLiteBackbone(StageBackbone):
    """The first five groups of blocks of EfficientNet-Lite0: 700,768 parameters, four maps down to stride 16.

    Pictures come as `LiteNormalise` leaves them.
    """

    def __init__(self) -> None:
        super().__init__(WIDTHS[-1], WIDTHS, in_channels=3, native_px=224)
        whole = EfficientNetLiteBackbone(top=False)
        self.stem, self.blocks = whole.stem, whole.blocks[: ENDS[-1] + 1]

    def load_published(self, path: Path) -> None:
        """Take the weights of a published file; errors as of `EfficientNetLiteBackbone.from_file`."""
        whole = EfficientNetLiteBackbone.from_file(path, top=False)
        self.stem.load_state_dict(whole.stem.state_dict())
        self.blocks.load_state_dict(whole.blocks[: ENDS[-1] + 1].state_dict())

    def run(self, x: Tensor) -> Stages:
        """(batch, 3, height, width) -> stages."""
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        maps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in ENDS:
                maps.append(x)
        return Stages(tuple(maps), x, x.mean(dim=(2, 3)))

    def stage_sides(self, size_px: int) -> tuple[int, ...]:
        """Sides of the four maps of a square picture of size_px."""
        return tuple(size_px // stride for stride in (4, 8, 16, 16))


class StageStatisticsExtractor(BackboneExtractor):
    """Means and deviations of all four maps, standardised, through one hidden layer.

    hidden: its width; drop_rate: dropout behind it, and two fifths of that in front
    """

    backbone: ShallowLiteBackbone
    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        out_dim: int = 512,
        in_channels: int = 3,
        hidden: int = 128,
        drop_rate: float = 0.5,
        backbone: ShallowLiteBackbone | None = None,
    ) -> None:
        if in_channels != 3:
            raise ValueError(f"stage statistics: expected pictures of 3 planes, got {in_channels}")
        super().__init__(backbone or ShallowLiteBackbone(), out_dim)
        width = 2 * sum(WIDTHS)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.head = nn.Sequential(
            nn.Dropout(0.4 * drop_rate),
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Dropout(drop_rate),
            nn.Linear(hidden, out_dim),
            nn.LayerNorm(out_dim),
        )

    @torch.no_grad()
    def fit(self, pictures: Tensor) -> None:
        """Take mean and deviation of every statistic from training pictures (batch, 3, height, width)."""
        found = statistics(self.backbone.stages(pictures).maps)
        self.mean.copy_(found.mean(dim=0))
        self.deviation.copy_(found.std(dim=0).clamp(min=TINY**0.5))

    def vector(self, stages: Stages) -> Tensor:
        """(batch, out_dim)."""
        return self._judged(statistics(stages.maps))

    def tokens(self, stages: Stages) -> Tensor:
        """(batch, positions of the last map, out_dim): the same of what the maps hold at each position."""
        height, width = stages.last.shape[2:]
        return self._judged(local_statistics(stages.maps, height, width).flatten(2).transpose(1, 2))

    def _judged(self, found: Tensor) -> Tensor:
        return self.head((found - self.mean) / self.deviation)


def statistics(maps: tuple[Tensor, ...]) -> Tensor:
    """Maps (batch, channels, height, width) -> means, then deviations, of all: (batch, 2 channels)."""
    return local_statistics(maps, 1, 1).flatten(1)


def local_statistics(maps: tuple[Tensor, ...], height: int, width: int) -> Tensor:
    """The same within each cell of a grid: (batch, 2 channels, height, width)."""
    means = [functional.adaptive_avg_pool2d(one, (height, width)) for one in maps]
    squares = [functional.adaptive_avg_pool2d(one.square(), (height, width)) for one in maps]
    deviations = [
        (square - mean.square()).clamp(min=TINY).sqrt() for square, mean in zip(squares, means, strict=True)
    ]
    return torch.cat([*means, *deviations], dim=1)
