"""The three BLIP models and the text reader at the sizes of a preset, and the pixels that they look at.

Source: Li et al., "BLIP: Bootstrapping Language-Image Pre-training" (arXiv 2201.12086).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import (
    BlipConfig,
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    BlipForQuestionAnswering,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.utils import cached_file

from multimodal.visual_question.presets import VisualQuestionPreset

# What every BLIP was trained with.
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)


def initial_deviation(width: int) -> float:
    """Of random weights: what leaves a layer's output about as large as its input.

    BlipVisionConfig's own 1e-10 leaves a network that cannot learn, and BERT's 0.02 is a sixth of this at
    width 64: after 250 steps of 32 pictures a ViT told 46 % of three shapes apart with 0.02, 86 % with 0.125.
    """
    return width**-0.5


class BlipPixels(nn.Module):
    """Decoded photos to what both vision models look at; `require_same_pixels` says whether they can."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(PIXEL_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(PIXEL_STD).view(3, 1, 1), persistent=False)

    def forward(self, image_pixels: Tensor) -> Tensor:
        """(batch, 1, side, side, 3) uint8 -> (batch, 3, side, side) float."""
        pixels = image_pixels.to(self.mean.dtype).squeeze(1).permute(0, 3, 1, 2)
        return (pixels - self.mean) / self.std


def blip_config(preset: VisualQuestionPreset) -> BlipConfig:
    """The configuration that the three BLIP models of a preset have in common."""
    vision, text, tokens = preset.vision, preset.text, preset.text.tokens
    return BlipConfig(
        vision_config={
            "hidden_size": vision.width,
            "intermediate_size": 4 * vision.width,
            "num_hidden_layers": vision.layers,
            "num_attention_heads": vision.heads,
            "image_size": vision.image_px,
            "patch_size": vision.patch_px,
            "initializer_range": initial_deviation(vision.width),
        },
        text_config={
            "vocab_size": text.vocabulary,
            "hidden_size": text.width,
            "intermediate_size": 4 * text.width,
            "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads,
            "max_position_embeddings": 512 if text.width == 768 else 2 * text.length,
            "bos_token_id": tokens.decode,
            "eos_token_id": tokens.end,
            "sep_token_id": tokens.end,
            "pad_token_id": tokens.pad,
            "initializer_range": initial_deviation(text.width),
        },
        initializer_range=initial_deviation(text.width),
        image_text_hidden_size=256 if text.width == 768 else text.width,
    )


def build_blips(
    preset: VisualQuestionPreset,
) -> tuple[BlipForImageTextRetrieval, BlipForConditionalGeneration, BlipForQuestionAnswering]:
    """Matching, captioning and answering models with random weights."""
    return (
        BlipForImageTextRetrieval(blip_config(preset)),
        BlipForConditionalGeneration(blip_config(preset)),
        BlipForQuestionAnswering(blip_config(preset)),
    )


def build_reader(preset: VisualQuestionPreset) -> T5ForConditionalGeneration:
    """A T5 with random weights that reads the tokens of the BLIP models; it has no sentencepieces of its own.

    Source: Khashabi et al., UnifiedQA-v2 (arXiv 2202.12359) for the form of what it reads.
    """
    sizes, tokens = preset.reader, preset.text.tokens
    config = T5Config(
        vocab_size=preset.text.vocabulary,
        d_model=sizes.width,
        d_kv=sizes.head_width,
        d_ff=sizes.feed_forward,
        num_layers=sizes.layers,
        num_heads=sizes.heads,
        pad_token_id=tokens.pad,
        eos_token_id=tokens.end,
    )
    config.decoder_start_token_id = tokens.pad
    return T5ForConditionalGeneration(config)


def require_same_pixels(matching: Any, captioning: Any) -> None:
    """ValueError unless one image can be shown to both vision models (`BlipConfig`s): sides have to agree.

    Grids and widths may differ. Mean and deviation are BLIP's for all of them.
    """
    sides = [config.vision_config.image_size for config in (matching, captioning)]
    if sides[0] != sides[1]:
        raise ValueError(
            f"vision models: expected one image size, got {sides[0]} px for matching and {sides[1]} px for "
            "captioning; choose checkpoints of one size"
        )


def require_blip_pixels(source: str | Path) -> None:
    """ValueError for a checkpoint whose image processor normalises otherwise; one without any is believed.

    source: a hub id or a folder. One picture is shown to both vision models, so both have to expect the same.
    """
    found = cached_file(
        str(source),
        "preprocessor_config.json",
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    said = json.loads(Path(found).read_text(encoding="utf-8")) if found else {}
    for name, expected in (("image_mean", PIXEL_MEAN), ("image_std", PIXEL_STD)):
        given = said.get(name, expected)
        if not np.allclose(given, expected, atol=1e-4):
            raise ValueError(
                f"{source}: expected pictures with the {name} of BLIP, {list(expected)}, got {given}; choose "
                "a BLIP checkpoint"
            )


def heed_cross_masks(model: nn.Module) -> None:
    """Make a BLIP's cross-attention leave out what its `encoder_attention_mask` says, in place.

    transformers 5.23 computes that mask and then hands it to cross-attention under the name of the mask of
    self-attention, where it is not looked at: padding behind a question changed every answer.
    """
    for module in model.modules():
        cross = getattr(module, "crossattention", None)
        if cross is not None:
            cross.self.register_forward_pre_hook(_own_mask, with_kwargs=True)


def _own_mask(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return inputs, {**named, "encoder_attention_mask": named.get("attention_mask")}
