"""The models of `weld_inspection`: four encoders and a fusion head per preset."""

from __future__ import annotations

import functools
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from multimodal.presets import PRESETS
from multimodal.weld_classes import CLASS_NAMES, MODALITIES

if TYPE_CHECKING:
    from torch import nn

    from multimodal.weld import QuadModalWeldModel


class WeldInspection:
    """Entry of `export.pipelines.PIPELINES`."""

    presets = tuple(PRESETS)

    def models(self, preset: str) -> tuple[str, ...]:
        """Names of the models with an engine; the slowest first, so that two processes end together."""
        encoders = {modality: f"{preset}_{modality}_encoder" for modality in MODALITIES}
        return (encoders.pop("video"), encoders.pop("image"), f"{preset}_fusion", *encoders.values())

    def fusions(self, preset: str) -> tuple[str, ...]:
        """None to choose from: the weights of a weld preset belong to one fusion."""
        return ()

    def default_fusion(self, preset: str) -> str:
        """Empty: there is no choice."""
        return ""

    def class_names(self, outputs: Collection[str]) -> tuple[str, ...]:
        """What the columns of the class probabilities mean, for a model that has some."""
        return CLASS_NAMES if "probabilities" in outputs else ()

    def advice(self, preset: str) -> str:
        """How to come by the weights."""
        return "run `python -m training train weld_small`" if preset == "weld_small" else ""

    def served_module(self, preset: str, model: str, weights: Path | None, fusion: str) -> nn.Module:
        """The module whose forward takes and returns exactly the tensors of the model's configuration."""
        from multimodal import served  # here: torch is a second that not every export needs

        whole = _whole(preset, weights)
        part = model.removeprefix(f"{preset}_")
        if part == "fusion":
            return served.ServedFusion(whole)
        return served.ServedEncoder(whole, part.removesuffix("_encoder"))


@functools.lru_cache(maxsize=1)
def _whole(preset: str, weights: Path | None) -> QuadModalWeldModel:
    from multimodal.build import build

    return build(PRESETS[preset], weights)
