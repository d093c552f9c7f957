"""All that export knows of a pipeline: which models a preset has, in which order, and what is in them.

A new pipeline is one class and one line in `PIPELINES`. No entry imports torch before a module is built.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from export.quality_models import VideoQuality
from export.vision_language_models import VisionLanguage
from export.visual_question_models import VisualQuestionAnswering
from export.weld_models import WeldInspection

if TYPE_CHECKING:
    from torch import nn


class Pipeline(Protocol):
    """What an entry says about its presets."""

    presets: tuple[str, ...]

    def models(self, preset: str) -> tuple[str, ...]:
        """Names of the models with files that export writes; the slowest first, so that two processes end
        together.
        """
        ...

    def fusions(self, preset: str) -> tuple[str, ...]:
        """Names that `--fusion` may have; empty where the preset has no choice."""
        ...

    def default_fusion(self, preset: str) -> str:
        """The fusion of an export that names none; empty where the preset has no choice."""
        ...

    def class_names(self, outputs: Collection[str]) -> tuple[str, ...]:
        """What the columns of a model's class probabilities mean; empty for a model without."""
        ...

    def advice(self, preset: str) -> str:
        """How to come by the weights of a preset; empty where nobody trains them here."""
        ...

    def served_module(self, preset: str, model: str, weights: Path | None, fusion: str) -> nn.Module:
        """The module whose forward takes and returns exactly the tensors of the model's configuration."""
        ...


PIPELINES: dict[str, Pipeline] = {
    "weld_inspection": WeldInspection(),
    "video_quality": VideoQuality(),
    "vision_language": VisionLanguage(),
    "visual_question_answering": VisualQuestionAnswering(),
}

PRESETS = {preset: pipeline for pipeline in PIPELINES.values() for preset in pipeline.presets}


def pipeline_of(preset: str) -> str:
    """The name of the pipeline that a preset belongs to; ValueError for a preset of none."""
    for name, pipeline in PIPELINES.items():
        if preset in pipeline.presets:
            return name
    raise ValueError(f"preset: expected one of {', '.join(PRESETS)}, got {preset}")


def model_names(preset: str) -> tuple[str, ...]:
    """The models of a preset that export writes files for, in the order in which they are exported."""
    return PRESETS[preset].models(preset)


def fusion_in(preset: str, model: str, chosen: str) -> str:
    """The fusion that a model's bytes depend on: encoders are the same whichever fusion reads them."""
    return chosen if model == f"{preset}_fusion" else ""
