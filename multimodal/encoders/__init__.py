"""Encoders: one modality in, a fixed number of tokens out. Each is built from its part of a preset.

Extractors: pictures in, a vector and four stage maps out. Each is built by its name, as are bare backbones.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from torch import nn

from multimodal.encoders.audio import WeldAudioEncoder
from multimodal.encoders.convnext import ConvNeXtBackbone, ConvNeXtExtractor
from multimodal.encoders.efficientnet import EfficientNetBackbone, EfficientNetExtractor
from multimodal.encoders.feature_extractor import FeatureExtractor, StageBackbone
from multimodal.encoders.image import WeldImageEncoder
from multimodal.encoders.light import (
    LightAudioEncoder,
    LightImageEncoder,
    LightSensorEncoder,
    LightVideoEncoder,
)
from multimodal.encoders.multi_scale import MultiScaleFeatureExtractor
from multimodal.encoders.resnet import ResNetBackbone
from multimodal.encoders.sensor import WeldSensorEncoder
from multimodal.encoders.stage_statistics import ShallowLiteBackbone, StageStatisticsExtractor
from multimodal.encoders.video import WeldVideoEncoder
from multimodal.encoders.vit import ViTBackbone, ViTExtractor


class EncoderClass(Protocol):
    """What a table of encoders holds: classes that their part of a preset can build."""

    def from_preset(self, part: Any, /) -> nn.Module:
        """Build the encoder with random weights."""
        ...


ENCODERS: dict[str, EncoderClass] = {
    "video": WeldVideoEncoder,
    "image": WeldImageEncoder,
    "audio": WeldAudioEncoder,
    "sensor": WeldSensorEncoder,
}
LIGHT_ENCODERS: dict[str, EncoderClass] = {
    "video": LightVideoEncoder,
    "image": LightImageEncoder,
    "audio": LightAudioEncoder,
    "sensor": LightSensorEncoder,
}


# Name -> builder with random weights; keywords: out_dim, in_channels, options of the head. Multi-scale ones
# take in_channels inside `extractor_kwargs`.
EXTRACTORS: dict[str, Callable[..., FeatureExtractor]] = {
    "efficientnet-b0": partial(EfficientNetExtractor.from_name, "efficientnet-b0"),
    "efficientnet-b3": partial(EfficientNetExtractor.from_name, "efficientnet-b3"),
    "efficientnet-b4": partial(EfficientNetExtractor.from_name, "efficientnet-b4"),
    "efficientnet-b7": partial(EfficientNetExtractor.from_name, "efficientnet-b7"),
    "efficientnet-small": partial(EfficientNetExtractor.from_name, "efficientnet-small"),
    "efficientnet-tiny": partial(EfficientNetExtractor.from_name, "efficientnet-tiny"),
    "vit_tiny_patch16_224": partial(ViTExtractor.from_name, "vit_tiny_patch16_224"),
    "vit_small_patch16_224": partial(ViTExtractor.from_name, "vit_small_patch16_224"),
    "vit_base_patch16_224": partial(ViTExtractor.from_name, "vit_base_patch16_224"),
    "vit_large_patch16_224": partial(ViTExtractor.from_name, "vit_large_patch16_224"),
    "vit_tiny_patch16_32": partial(ViTExtractor.from_name, "vit_tiny_patch16_32"),
    "convnext_tiny": partial(ConvNeXtExtractor.from_name, "convnext_tiny"),
    "convnext_small": partial(ConvNeXtExtractor.from_name, "convnext_small"),
    "convnext_base": partial(ConvNeXtExtractor.from_name, "convnext_base"),
    "convnext_large": partial(ConvNeXtExtractor.from_name, "convnext_large"),
    "convnext_small_64": partial(ConvNeXtExtractor.from_name, "convnext_small_64"),
    "convnext_tiny_32": partial(ConvNeXtExtractor.from_name, "convnext_tiny_32"),
    "efficientnet-lite0-shallow": StageStatisticsExtractor,
    "multi_scale_efficientnet": partial(MultiScaleFeatureExtractor, "efficientnet"),
    "multi_scale_vit": partial(MultiScaleFeatureExtractor, "vit"),
    "multi_scale_convnext": partial(MultiScaleFeatureExtractor, "convnext"),
}
# Name -> builder with random weights; keywords: in_channels, and top where stages may do without it.
BACKBONES: dict[str, Callable[..., StageBackbone]] = {
    "efficientnet-b0": partial(EfficientNetBackbone.from_name, "efficientnet-b0"),
    "efficientnet-b3": partial(EfficientNetBackbone.from_name, "efficientnet-b3"),
    "efficientnet-b4": partial(EfficientNetBackbone.from_name, "efficientnet-b4"),
    "efficientnet-b7": partial(EfficientNetBackbone.from_name, "efficientnet-b7"),
    "efficientnet-small": partial(EfficientNetBackbone.from_name, "efficientnet-small"),
    "efficientnet-tiny": partial(EfficientNetBackbone.from_name, "efficientnet-tiny"),
    "vit_tiny_patch16_224": partial(ViTBackbone.from_name, "vit_tiny_patch16_224"),
    "vit_small_patch16_224": partial(ViTBackbone.from_name, "vit_small_patch16_224"),
    "vit_base_patch16_224": partial(ViTBackbone.from_name, "vit_base_patch16_224"),
    "vit_large_patch16_224": partial(ViTBackbone.from_name, "vit_large_patch16_224"),
    "vit_tiny_patch16_32": partial(ViTBackbone.from_name, "vit_tiny_patch16_32"),
    "convnext_tiny": partial(ConvNeXtBackbone.from_name, "convnext_tiny"),
    "convnext_small": partial(ConvNeXtBackbone.from_name, "convnext_small"),
    "convnext_base": partial(ConvNeXtBackbone.from_name, "convnext_base"),
    "convnext_large": partial(ConvNeXtBackbone.from_name, "convnext_large"),
    "convnext_small_64": partial(ConvNeXtBackbone.from_name, "convnext_small_64"),
    "convnext_tiny_32": partial(ConvNeXtBackbone.from_name, "convnext_tiny_32"),
    "efficientnet-lite0-shallow": lambda in_channels=3: ShallowLiteBackbone(),
    "resnet-50": partial(ResNetBackbone.from_name, "resnet-50"),
}
