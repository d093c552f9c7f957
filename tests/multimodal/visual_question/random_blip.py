"""A random BLIP family of two layers, width 48, on images of 64 px in 16 px patches: 17 tokens."""

from __future__ import annotations

from dataclasses import replace

import torch

from multimodal.visual_question.build import build_visual_question
from multimodal.visual_question.plug_and_play import PNPVQAFusion
from multimodal.visual_question.presets import (
    VISUAL_QUESTION_PRESETS,
    GenerationSizes,
    VisionSizes,
    VisualQuestionPreset,
)

TINY = VISUAL_QUESTION_PRESETS["visual_question_answering_tiny"]
PRESET = replace(
    TINY,
    vision=VisionSizes(image_px=64, patch_px=16, width=48, layers=2, heads=4),
    text=replace(TINY.text, width=48, heads=4),
    fusion=replace(TINY.fusion, width=32, layers=3, iterations=2),  # narrower than the models: projections
    generation=GenerationSizes(
        captions=3,
        patches=6,
        top_k=5,
        caption_min=1,
        caption_max=4,
        answer_max=2,
        captions_per_context=2,
    ),
)


def random_model(preset: VisualQuestionPreset = PRESET) -> PNPVQAFusion:
    """Always the same."""
    torch.manual_seed(0)
    return build_visual_question(preset)


def lively_model(preset: VisualQuestionPreset = PRESET) -> PNPVQAFusion:
    """With weights of the matching model so large that maps are far from rounding."""
    model = random_model(preset)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.itm.text_encoder.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model
