"""The tiny preset, exported once for all tests of this folder."""

import functools
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from export import contract, engines
from model_repository import (
    configuration,
    video_quality_models,
    vision_language_models,
    visual_question_models,
    weld_models,
)
from multimodal.presets import PRESETS
from multimodal.quality_presets import QUALITY_PRESETS
from multimodal.vision_language.presets import VISION_LANGUAGE_PRESETS
from multimodal.visual_question.presets import VISUAL_QUESTION_PRESETS


@dataclass(frozen=True)
class Exported:
    """One model of the tiny preset: its module, its contract and the folder with both graphs."""

    module: torch.nn.Module
    contract: contract.Contract
    folder: Path


def write_repository(root: Path) -> Path:
    """The configurations of every tiny preset's models, and nothing else."""
    described = [
        *weld_models.preset_models(PRESETS["tiny"]),
        *video_quality_models.preset_models(QUALITY_PRESETS["video_quality_tiny"]),
        *vision_language_models.preset_models(VISION_LANGUAGE_PRESETS["vision_language_tiny"]),
        *visual_question_models.preset_models(VISUAL_QUESTION_PRESETS["visual_question_answering_tiny"]),
    ]
    for path, text in configuration.files(described).items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def repository(tmp_path):
    return write_repository(tmp_path / "models")


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Model name -> Exported; each graph is made when the first test asks for it."""
    root = tmp_path_factory.mktemp("exported")
    configurations = write_repository(root / "models")

    @functools.cache
    def export(model: str) -> Exported:
        module = engines.served_module("tiny", model, None)
        promised = contract.load(configurations, model)
        folder = root / model
        folder.mkdir()
        engines.write_graphs(module, promised, folder)
        return Exported(module, promised, folder)

    return export
