"""Names of picture networks to modules: a family (`vit`) or one of its sizes (`vit_base_patch16_224`)."""

from __future__ import annotations

from multimodal.encoders import BACKBONES, EXTRACTORS
from multimodal.encoders.convnext import CONVNEXTS
from multimodal.encoders.efficientnet import EFFICIENTNETS
from multimodal.encoders.feature_extractor import FeatureExtractor, StageBackbone, unknown_name

# Family -> the size that its bare name means.
FAMILIES = {
    "efficientnet": "efficientnet-b3",
    "vit": "vit_base_patch16_224",
    "convnext": "convnext_base",
    "resnet": "resnet-50",
}
WITH_TOP = {*EFFICIENTNETS, *CONVNEXTS}  # can leave out layers that their stage maps do not pass through


def build_extractor(name: str, out_dim: int, in_channels: int = 3) -> FeatureExtractor:
    """A network and the head that brings its pictures to vectors of `out_dim`, with random weights.

    errors: ValueError for a name that no family knows, or one that has no extractor
    """
    size = _size("extractor", name)
    if size not in EXTRACTORS:
        raise ValueError(f"extractor: expected a network with a head, got '{name}', which is a trunk only")
    return EXTRACTORS[size](out_dim=out_dim, in_channels=in_channels)


def build_trunk(name: str, in_channels: int = 3, top: bool = True) -> StageBackbone:
    """A bare network with its stages in the open; top: see the backbones.

    errors: ValueError for a name that no family knows
    """
    size = _size("trunk", name)
    if size in WITH_TOP:
        return BACKBONES[size](in_channels=in_channels, top=top)
    return BACKBONES[size](in_channels=in_channels)


def _size(what: str, name: str) -> str:
    size = FAMILIES.get(name, name)
    if size not in BACKBONES:
        raise unknown_name(what, name, [*FAMILIES, *BACKBONES])
    return size
