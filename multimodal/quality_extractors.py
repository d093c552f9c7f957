"""Names of picture networks to modules: a family (`vit`) or one of its sizes (`vit_base_patch16_224`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from multimodal.encoders.convnext import CONVNEXTS, ConvNeXtBackbone, ConvNeXtExtractor
from multimodal.encoders.efficientnet import EFFICIENTNETS, EfficientNetBackbone, EfficientNetExtractor
from multimodal.encoders.feature_extractor import FeatureExtractor, StageBackbone, unknown_name
from multimodal.encoders.resnet import RESNETS, ResNetBackbone
from multimodal.encoders.vit import VITS, ViTBackbone, ViTExtractor


@dataclass(frozen=True)
class NetworkFamily:
    """One architecture: its sizes, the size that its bare name means, and how to build it.

    extractor: None for a family that is a trunk only
    has_top:   whether the trunk can leave out layers that its stage maps do not pass through
    """

    sizes: Mapping[str, Any]
    usual: str
    trunk: Callable[..., StageBackbone]
    extractor: Callable[..., FeatureExtractor] | None
    has_top: bool = False


NETWORKS: dict[str, NetworkFamily] = {
    "efficientnet": NetworkFamily(
        EFFICIENTNETS,
        "efficientnet-b3",
        EfficientNetBackbone.from_name,
        EfficientNetExtractor.from_name,
        True,
    ),
    "vit": NetworkFamily(VITS, "vit_base_patch16_224", ViTBackbone.from_name, ViTExtractor.from_name),
    "convnext": NetworkFamily(
        CONVNEXTS, "convnext_base", ConvNeXtBackbone.from_name, ConvNeXtExtractor.from_name, True
    ),
    "resnet": NetworkFamily(RESNETS, "resnet-50", ResNetBackbone.from_name, None),
}


def build_extractor(name: str, out_dim: int, in_channels: int = 3) -> FeatureExtractor:
    """A network and the head that brings its pictures to vectors of `out_dim`, with random weights.

    errors: ValueError for a name that no family knows, or one that has no extractor
    """
    family, size = _find("extractor", name)
    if family.extractor is None:
        raise ValueError(f"extractor: expected a network with a head, got '{name}', which is a trunk only")
    return family.extractor(size, out_dim, in_channels)


def build_trunk(name: str, in_channels: int = 3, top: bool = True) -> StageBackbone:
    """A bare network with its stages in the open; top: see the backbones.

    errors: ValueError for a name that no family knows
    """
    family, size = _find("trunk", name)
    return family.trunk(size, in_channels, top) if family.has_top else family.trunk(size, in_channels)


def _find(what: str, name: str) -> tuple[NetworkFamily, str]:
    if name in NETWORKS:
        return NETWORKS[name], NETWORKS[name].usual
    for family in NETWORKS.values():
        if name in family.sizes:
            return family, name
    raise unknown_name(what, name, [*NETWORKS, *(size for one in NETWORKS.values() for size in one.sizes)])
