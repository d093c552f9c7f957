"""Which fusions join a photo's features and a text's. A new one is one line here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from torch import Tensor, nn

from multimodal.fusions import MULTIMODAL_FUSIONS
from multimodal.fusions.modality_fusion import ModalityFusionSizes
from multimodal.vision_language.cross_modal_fusion import CrossModalFusion
from multimodal.vision_language.presets import VisionLanguagePreset


class FusionOfTwo(nn.Module):
    """A fusion of any number of modalities, given a photo's features and a text's."""

    def __init__(self, fusion: nn.Module) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(self, visual: Tensor, text: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """(batch, feature_width) twice -> fused (batch, fused_width) and the fusion's evidence."""
        return self.fusion((visual, text))


def _cross_modal(preset: VisionLanguagePreset, mode: str) -> nn.Module:
    return CrossModalFusion(preset.feature_width, preset.fused_width, mode, preset.dropout)


def _of_two(preset: VisionLanguagePreset, name: str) -> nn.Module:
    sizes = ModalityFusionSizes(preset.fused_width, preset.heads, preset.dropout)
    fusion = MULTIMODAL_FUSIONS[name]((preset.feature_width,) * 2, sizes)
    return FusionOfTwo(cast(nn.Module, fusion))


# Name -> builder; what it builds maps (image_features, text_features), each (batch, feature_width), to
# fused (batch, fused_width) and a dict of evidence. New ones go to the end.
VISION_LANGUAGE_FUSIONS: dict[str, Callable[[VisionLanguagePreset], nn.Module]] = {
    "mlp": partial(_cross_modal, mode="mlp"),
    "additive": partial(_cross_modal, mode="additive"),
    "early": partial(_of_two, name="early"),
    "attention": partial(_of_two, name="attention"),
    "gated": partial(_of_two, name="gated_vectors"),
    "late": partial(_of_two, name="late"),
    "selected": partial(_of_two, name="selected"),
}
