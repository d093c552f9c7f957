"""The dense graphs of the vision-language models: positional tensors, in the order of each configuration."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from multimodal.absent import zero_absent
from multimodal.encoders.feature_extractor import unknown_name
from multimodal.vision_language.model import VisualLanguageModel


class ServedImageEncoder(nn.Module):
    """From a decoded photo to its features."""

    def __init__(self, model: VisualLanguageModel) -> None:
        super().__init__()
        self.visual = model.visual

    def forward(self, image_pixels: Tensor, image_valid: Tensor) -> Tensor:
        """Features (batch, V); zeros where not valid.

        image_pixels: (batch, 1, side, side, 3) uint8 RGB; image_valid: (batch, 1) bool
        """
        pictures = image_pixels.to(torch.float32).squeeze(1).permute(0, 3, 1, 2) / 255
        return zero_absent(self.visual(pictures), image_valid)


class ServedTextEncoder(nn.Module):
    """From tokens to the text's features."""

    def __init__(self, model: VisualLanguageModel) -> None:
        super().__init__()
        self.text = model.text

    def forward(self, input_ids: Tensor, attention_mask: Tensor, text_valid: Tensor) -> Tensor:
        """Features (batch, T); zeros where not valid.

        input_ids, attention_mask: (batch, L) int64; text_valid: (batch, 1) bool
        """
        return zero_absent(self.text(input_ids, attention_mask), text_valid)


class ServedVisionLanguageFusion(nn.Module):
    """Fusion and all heads on the features of both encoders."""

    def __init__(self, model: VisualLanguageModel) -> None:
        super().__init__()
        self.heads = model.heads

    def forward(
        self,
        image_features: Tensor,
        text_features: Tensor,
        image_valid: Tensor,
        text_valid: Tensor,
        image_status: Tensor,
        text_status: Tensor,
    ) -> tuple[Tensor, ...]:
        """Answer and embed; what needs a modality that a row has not is zeros.

        image_features: (batch, V); text_features: (batch, T); *_valid: (batch, 1) bool
        *_status: (batch, 1) int32
        returns: answer_probabilities (batch, classes), image_embedding and text_embedding (batch, E) of unit
                 norm, fused_embedding (batch, F) of unit norm, modality_status (batch, 2) int32
        """
        said = self.heads(image_features, text_features)
        both = image_valid & text_valid
        return (
            zero_absent(said["classification_logits"].softmax(dim=1), both),
            zero_absent(said["retrieval_visual"], image_valid),
            zero_absent(said["retrieval_text"], text_valid),
            zero_absent(said["joint_embedding"], both),
            torch.cat([image_status, text_status], dim=1),
        )


# Part of a preset's model names -> its graph.
PARTS: dict[str, Callable[[VisualLanguageModel], nn.Module]] = {
    "image_encoder": ServedImageEncoder,
    "text_encoder": ServedTextEncoder,
    "fusion": ServedVisionLanguageFusion,
}


def served_part(model: VisualLanguageModel, part: str) -> nn.Module:
    """The module of one served model; part: its name behind the preset's. ValueError for an unknown one."""
    if part not in PARTS:
        raise unknown_name("vision-language part", part, PARTS)
    return PARTS[part](model)
