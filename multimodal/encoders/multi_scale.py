"""An extractor per scale of the picture, their vectors joined by one linear layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from multimodal.encoders.convnext import ConvNeXtExtractor
from multimodal.encoders.efficientnet import EfficientNetExtractor
from multimodal.encoders.feature_extractor import (
    BackboneExtractor,
    FeatureExtractor,
    StageBackbone,
    unknown_name,
)
from multimodal.encoders.multi_resolution import check_sizes, resize
from multimodal.encoders.vit import ViTExtractor

BACKBONE_TYPES: dict[str, Callable[..., BackboneExtractor]] = {
    "efficientnet": EfficientNetExtractor.from_name,
    "vit": ViTExtractor.from_name,
    "convnext": ConvNeXtExtractor.from_name,
}
NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


class MultiScaleFeatureExtractor(FeatureExtractor):
    """The picture at every scale through an extractor, their vectors joined by one linear layer.

    backbone_type:    one of `BACKBONE_TYPES`, else ValueError
    scales:           sides in pixels
    share_weights:    one extractor for all scales instead of one each
    extractor_kwargs: for `from_name` of the extractor: name, in_channels, options of its head
    Tokens of all scales follow one another; maps are those of the largest scale, whatever size comes in.
    """

    def __init__(
        self,
        backbone_type: str = "efficientnet",
        scales: Sequence[int] = (224, 384, 512),
        out_dim: int = 512,
        share_weights: bool = False,
        extractor_kwargs: Mapping[str, Any] = NO_OPTIONS,
    ) -> None:
        super().__init__()
        if backbone_type not in BACKBONE_TYPES:
            raise unknown_name("multi-scale backbone", backbone_type, BACKBONE_TYPES)
        check_sizes("scales", scales)
        build = BACKBONE_TYPES[backbone_type]
        self.scales, self.out_dim = tuple(scales), out_dim
        count = 1 if share_weights else len(self.scales)
        extractors = [build(out_dim=out_dim, **extractor_kwargs) for _ in range(count)]
        self.extractors = nn.ModuleList(extractors)
        self.projection = nn.Linear(out_dim * len(self.scales), out_dim)
        self.map_dims = extractors[0].map_dims
        self.largest = self.scales.index(max(self.scales))

    def extract(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(batch, in_channels, height, width) -> (batch, out_dim) and the four maps of the largest scale."""
        vectors, maps = [], ()
        for index, size_px in enumerate(self.scales):
            extractor, picture = self._extractor(index), resize(x, size_px)
            if index == self.largest:
                vector, maps = extractor.extract(picture)
            else:
                vector = extractor(picture)
            vectors.append(vector)
        return self.projection(torch.cat(vectors, dim=1)), maps

    def forward_features(self, x: Tensor) -> tuple[Tensor, ...]:
        """(batch, in_channels, height, width) -> four maps, at strides 4, 8, 16, 32 of the largest scale."""
        return self._extractor(self.largest).forward_features(resize(x, self.scales[self.largest]))

    def forward_tokens(self, x: Tensor) -> Tensor:
        """(batch, in_channels, height, width) -> (batch, positions of all scales, out_dim)."""
        pairs = enumerate(self.scales)
        parts = [self._extractor(index).forward_tokens(resize(x, size_px)) for index, size_px in pairs]
        return torch.cat(parts, dim=1)

    def forward_map(self, x: Tensor) -> Tensor:
        """(batch, in_channels, height, width) -> (batch, feature_dim, height', width'), largest scale."""
        return self._extractor(self.largest).forward_map(resize(x, self.scales[self.largest]))

    def map_shapes(self, size_px: int) -> tuple[tuple[int, int, int], ...]:
        """(channels, height, width) of the four maps; size_px does not matter, for pictures are resized."""
        return self._extractor(self.largest).map_shapes(self.scales[self.largest])

    def reference_backbone(self) -> StageBackbone:
        """The backbone of the largest scale."""
        return self._extractor(self.largest).reference_backbone()

    def _extractor(self, index: int) -> Any:
        """The extractor of a scale; all scales have the same one where weights are shared."""
        return self.extractors[min(index, len(self.extractors) - 1)]
