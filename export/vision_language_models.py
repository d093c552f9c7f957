"""The models of `vision_language`: two encoders, the chosen fusion, and the tokenizer of texts."""

from __future__ import annotations

import functools
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from multimodal.vision_language.presets import VISION_LANGUAGE_PRESETS

if TYPE_CHECKING:
    from torch import nn

    from multimodal.vision_language.model import VisualLanguageModel

TRAINED = ("vision_language_small",)
PARTS = ("image_encoder", "text_encoder", "fusion", "tokenizer")


class VisionLanguage:
    """Entry of `export.pipelines.PIPELINES`."""

    presets = tuple(VISION_LANGUAGE_PRESETS)

    def models(self, preset: str) -> tuple[str, ...]:
        """Names of the models with files of their own, the slowest first: two processes then end together."""
        return tuple(f"{preset}_{part}" for part in PARTS)

    def fusions(self, preset: str) -> tuple[str, ...]:
        """Every fusion that can be chosen, in the registry's order; weights may have heads for a few only."""
        from multimodal.vision_language.fusion_table import VISION_LANGUAGE_FUSIONS  # here: torch is a second

        return tuple(VISION_LANGUAGE_FUSIONS)

    def default_fusion(self, preset: str) -> str:
        """The fusion of an export that names none."""
        return VISION_LANGUAGE_PRESETS[preset].default_fusion

    def class_names(self, outputs: Collection[str]) -> tuple[str, ...]:
        """What the columns of the answers' probabilities mean, for a model that has some."""
        return (
            VISION_LANGUAGE_PRESETS[self.presets[0]].class_names if "answer_probabilities" in outputs else ()
        )

    def advice(self, preset: str) -> str:
        """How to come by the weights."""
        return f"run `python -m training train {preset}`" if preset in TRAINED else ""

    def served_module(self, preset: str, model: str, weights: Path | None, fusion: str) -> nn.Module:
        """The module whose forward takes and returns exactly the tensors of the model's configuration."""
        from multimodal.vision_language.served import served_part

        return served_part(_whole(preset, weights, fusion), model.removeprefix(f"{preset}_"))

    def tokenizer(self, preset: str, weights: Path | None) -> str:
        """The text of the preset's `tokenizer.json`; that of a pretrained trunk comes from its package."""
        from multimodal.vision_language.tokenizer import tokenizer_json

        return tokenizer_json(VISION_LANGUAGE_PRESETS[preset])


@functools.lru_cache(maxsize=1)
def _whole(preset: str, weights: Path | None, fusion: str) -> VisualLanguageModel:
    from multimodal.vision_language.build import build_vision_language

    return build_vision_language(VISION_LANGUAGE_PRESETS[preset], weights, fusion)
