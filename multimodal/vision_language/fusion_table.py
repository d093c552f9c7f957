"""Which fusions join a photo's features and a text's. A new one is one line here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from multimodal.vision_language.cross_modal_fusion import CrossModalFusion
from multimodal.vision_language.presets import VisionLanguagePreset


def _cross_modal(preset: VisionLanguagePreset, mode: str) -> nn.Module:
    return CrossModalFusion(preset.feature_width, preset.fused_width, mode, preset.dropout)


# Name -> builder; what it builds maps (image_features, text_features), each (batch, feature_width), to
# fused (batch, fused_width) and a dict of evidence. New ones go to the end.
VISION_LANGUAGE_FUSIONS: dict[str, Callable[[VisionLanguagePreset], nn.Module]] = {
    "mlp": partial(_cross_modal, mode="mlp"),
    "additive": partial(_cross_modal, mode="additive"),
}
