"""The models of `video_quality`: an encoder per view, or one for both, and the fusion that was chosen."""

from __future__ import annotations

import functools
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from multimodal.quality_presets import QUALITY_PRESETS

if TYPE_CHECKING:
    from torch import nn

    from multimodal.quality_build import QualityModel

TRAINED = ("video_quality_small",)


class VideoQuality:
    """Entry of `export.pipelines.PIPELINES`."""

    presets = tuple(QUALITY_PRESETS)

    def models(self, preset: str) -> tuple[str, ...]:
        """Names of the models with an engine; the slowest first, so that two processes end together."""
        if QUALITY_PRESETS[preset].family == "optimised":
            return (f"{preset}_encoder", f"{preset}_fusion")
        return (f"{preset}_spatial_encoder", f"{preset}_temporal_encoder", f"{preset}_fusion")

    def fusions(self, preset: str) -> tuple[str, ...]:
        """Every fusion that can be chosen, in the registry's order."""
        from multimodal.fusions import QUALITY_FUSIONS  # here: torch is a second that not every export needs

        return tuple(QUALITY_FUSIONS)

    def default_fusion(self, preset: str) -> str:
        """The fusion of an export that names none."""
        return QUALITY_PRESETS[preset].default_fusion

    def class_names(self, outputs: Collection[str]) -> tuple[str, ...]:
        """None: quality is a number."""
        return ()

    def advice(self, preset: str) -> str:
        """How to come by the weights."""
        return f"run `python -m training train {preset}`" if preset in TRAINED else ""

    def served_module(self, preset: str, model: str, weights: Path | None, fusion: str) -> nn.Module:
        """The module whose forward takes and returns exactly the tensors of the model's configuration."""
        from multimodal.quality_served import served_part

        return served_part(_whole(preset, weights, fusion), model.removeprefix(f"{preset}_"))


@functools.lru_cache(maxsize=1)
def _whole(preset: str, weights: Path | None, fusion: str) -> QualityModel:
    from multimodal.quality_build import build_quality

    return build_quality(QUALITY_PRESETS[preset], weights, fusion)
