"""Which module trains which presets. A new pipeline is one line in `TRAININGS`."""

from __future__ import annotations

import importlib
from collections.abc import Collection
from pathlib import Path
from typing import Protocol, cast

from multimodal.presets import PRESETS
from multimodal.quality_presets import QUALITY_PRESETS
from multimodal.vision_language.presets import VISION_LANGUAGE_PRESETS
from multimodal.visual_question.presets import VISUAL_QUESTION_PRESETS
from training.workplace import Workplace

# Presets -> the module that trains them; imported when asked for, torch is a second.
TRAININGS: tuple[tuple[Collection[str], str], ...] = (
    (PRESETS, "training.weld_training"),
    (QUALITY_PRESETS, "training.quality_training"),
    (VISION_LANGUAGE_PRESETS, "training.vision_language_training"),
    (VISUAL_QUESTION_PRESETS, "training.visual_question_training"),
)


class Training(Protocol):
    """What such a module has."""

    def train(self, preset: str, place: Workplace) -> Path:
        """Train, evaluate, write weights and model card; returns the path of the weights."""
        ...

    def evaluate(self, preset: str, place: Workplace) -> Path:
        """Judge the weights as they lie on disk again; returns the path of the card."""
        ...


def training_of(preset: str) -> Training:
    """The module that trains a preset; raises ValueError for a name that no table has."""
    for presets, module in TRAININGS:
        if preset in presets:
            return cast(Training, importlib.import_module(module))
    known = ", ".join(name for presets, _ in TRAININGS for name in presets)
    raise ValueError(f"preset: expected one of {known}, got {preset!r}")
