"""What is done with feature maps before they become vectors: pyramids, attention over space, pooling."""

from __future__ import annotations

from torch import nn

from multimodal.feature_maps.feature_pyramid import FeaturePyramidNetwork
from multimodal.feature_maps.pools import AdaptivePooling, AttentionPooling, AveragePooling
from multimodal.feature_maps.spatial_attention import SpatialAttention

__all__ = [
    "POOLS",
    "AdaptivePooling",
    "AttentionPooling",
    "AveragePooling",
    "FeaturePyramidNetwork",
    "SpatialAttention",
]

# Built from the number of channels: (batch, channels, height, width) -> (batch, channels).
POOLS: dict[str, type[nn.Module]] = {
    "attention": AttentionPooling,
    "adaptive": AdaptivePooling,
    "avg": AveragePooling,
}
