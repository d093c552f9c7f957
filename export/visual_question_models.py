"""The models of `visual_question_answering`: five engines, the tokenizer of questions, and the generator."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.generator_graphs import ANSWER, CAPTION, READER_DECODER, READER_ENCODER, Sizes
from multimodal.visual_question.presets import VISUAL_QUESTION_PRESETS

if TYPE_CHECKING:
    from torch import nn

    from multimodal.visual_question.plug_and_play import PNPVQAFusion

TRAINED = ("visual_question_answering_small",)
PARTS = (
    "answers",
    "relevance",
    "question_encoder",
    "matching_encoder",
    "caption_encoder",
    "fusion",
    "tokenizer",
)


class VisualQuestionAnswering:
    """Entry of `export.pipelines.PIPELINES`."""

    presets = tuple(VISUAL_QUESTION_PRESETS)

    def models(self, preset: str) -> tuple[str, ...]:
        """Names of the models with files of their own, the slowest first: two processes then end together."""
        return tuple(f"{preset}_{part}" for part in PARTS)

    def fusions(self, preset: str) -> tuple[str, ...]:
        """None to choose from: both streams are fused in one way."""
        return ()

    def default_fusion(self, preset: str) -> str:
        """Empty: there is no choice."""
        return ""

    def class_names(self, outputs: Collection[str]) -> tuple[str, ...]:
        """None: answers are words."""
        return ()

    def advice(self, preset: str) -> str:
        """How to come by the weights."""
        return f"run `python -m training train {preset}`" if preset in TRAINED else ""

    def served_module(self, preset: str, model: str, weights: Path | None, fusion: str) -> nn.Module:
        """The module whose forward takes and returns exactly the tensors of the model's configuration."""
        from multimodal.visual_question.served import served_part

        return served_part(_whole(preset, weights), model.removeprefix(f"{preset}_"))

    def tokenizer(self, preset: str, weights: Path | None) -> str:
        """The text of the `tokenizer.json` that the weights were trained with."""
        from multimodal.visual_question.tokenizer import tokenizer_json

        return tokenizer_json(VISUAL_QUESTION_PRESETS[preset], weights)

    def generation(self, preset: str, weights: Path | None) -> Mapping[str, nn.Module]:
        """File -> the module of each graph that the answers model runs."""
        from multimodal.visual_question.served import served_part

        model = _whole(preset, weights)
        files = (ANSWER, CAPTION, READER_ENCODER, READER_DECODER)
        return {file: served_part(model, file.removesuffix(".onnx")).eval() for file in files}

    def sizes(self, preset: str) -> Sizes:
        """How many words the decoders know, and how wide the reader is."""
        known = VISUAL_QUESTION_PRESETS[preset]
        return Sizes(known.text.vocabulary, known.reader.width)

    def settings(self, preset: str, weights: Path | None) -> Mapping[str, Any]:
        """What `generation.json` says."""
        from multimodal.visual_question.build import generation_settings

        return generation_settings(VISUAL_QUESTION_PRESETS[preset], _whole(preset, weights))


@functools.lru_cache(maxsize=1)
def _whole(preset: str, weights: Path | None) -> PNPVQAFusion:
    from multimodal.visual_question.build import build_visual_question

    return build_visual_question(VISUAL_QUESTION_PRESETS[preset], weights)
