"""The same network at several resolutions: detail at the large ones, layout at the small ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from multimodal.encoders.feature_extractor import FeatureExtractor, StageBackbone


def resize(x: Tensor, size_px: int) -> Tensor:
    """(batch, channels, height, width) -> (batch, channels, size_px, size_px), bilinear.

    Where a side shrinks, its pixels are averaged first: without that, detail folds into patterns that are not
    in the picture.
    """
    if x.shape[-2:] == (size_px, size_px):
        return x
    shrinks = min(size_px / side for side in x.shape[-2:]) < 1
    return nn.functional.interpolate(x, (size_px, size_px), mode="bilinear", antialias=shrinks)


class MultiResolutionProcessor(nn.Module):
    """One shared network over a picture at several sizes, its vectors side by side.

    backbone:    gives (batch, its width); its weights are shared by all sizes
    resolutions: sides in pixels
    out_dim:     None hands on all vectors, a number projects them to that width
    """

    def __init__(
        self,
        backbone: StageBackbone | FeatureExtractor,
        resolutions: Sequence[int] = (224, 336, 448),
        out_dim: int | None = None,
    ) -> None:
        super().__init__()
        check_sizes("resolutions", resolutions)
        self.backbone, self.resolutions = backbone, tuple(resolutions)
        width = backbone.out_dim if isinstance(backbone, FeatureExtractor) else backbone.feature_dim
        together = width * len(self.resolutions)
        self.out_dim = out_dim or together
        self.projection = nn.Linear(together, out_dim) if out_dim else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, height, width) -> (batch, out_dim)."""
        vectors = [self.backbone(resize(x, size_px)) for size_px in self.resolutions]
        return self.projection(torch.cat(vectors, dim=1))


def check_sizes(what: str, sizes_px: Sequence[int]) -> None:
    """ValueError unless there is a size and all are at least 32 px."""
    if not sizes_px or min(sizes_px) < 32:
        raise ValueError(f"{what}: expected at least one size of 32 px or more, got {tuple(sizes_px)}")
