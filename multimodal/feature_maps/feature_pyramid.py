"""Feature pyramid: coarse maps tell fine ones what they are part of."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class FeaturePyramidNetwork(nn.Module):
    """Every map to one width by a 1x1 convolution, plus the coarser result resized to its size.

    in_channels: of the maps, fine to coarse, as a backbone's `stage_dims` says them
    smooth:      a 3x3 convolution on every result, against the steps of the nearest-neighbour resize
    Source: Lin et al., Feature Pyramid Networks (arXiv 1612.03144). The resize is to the finer map's size and
    not by two, for odd sides do not double: 13 follows 25.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (256, 512, 1024, 2048),
        out_channels: int = 256,
        smooth: bool = False,
    ) -> None:
        super().__init__()
        if not in_channels:
            raise ValueError("feature pyramid: expected the channels of at least one map, got none")
        self.out_channels = out_channels
        self.lateral = nn.ModuleList(nn.Conv2d(width, out_channels, 1) for width in in_channels)
        self.smoothing = nn.ModuleList(
            nn.Conv2d(out_channels, out_channels, 3, padding=1) if smooth else nn.Identity()
            for _ in in_channels
        )

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps (batch, channels, height, width), fine to coarse -> as many (batch, out_channels, ., .)."""
        if len(maps) != len(self.lateral):
            raise ValueError(f"feature pyramid: expected {len(self.lateral)} maps, got {len(maps)}")
        levels = [lateral(level) for lateral, level in zip(self.lateral, maps, strict=True)]
        for finer in reversed(range(len(levels) - 1)):
            size = levels[finer].shape[-2:]
            levels[finer] = levels[finer] + nn.functional.interpolate(levels[finer + 1], size, mode="nearest")
        return tuple(smoothing(level) for smoothing, level in zip(self.smoothing, levels, strict=True))
