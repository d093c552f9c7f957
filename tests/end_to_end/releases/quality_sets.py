"""A repository, candidates and golden sets of `video_quality`, from weights that nobody trained.

What is proven with them is the way of a release. Random heads differ in the third digit, which correlations
do not mind; what they are judged by is therefore what PyTorch says with the live weights, as if people had.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper

from export.__main__ import main
from multimodal.quality_build import build_quality, save_quality_weights
from multimodal.quality_presets import QUALITY_PRESETS
from serving.releases import golden
from tests.end_to_end.releases import sets

PIPELINE = "video_quality"
PRESET = QUALITY_PRESETS["video_quality_small"]
FUSION = f"{PRESET.name}_fusion"
OTHER = "gated"
ROOT = Path(__file__).parents[3]
BARE = ("weld_*", "*.onnx", "*.plan", "manifest.json", "releases.json", ".releases", "[2-9]*", "__pycache__")


def write_weights(path: Path, seed: int = 5) -> Path:
    """One trunk with the heads of the preset's own fusion and of another."""
    torch.manual_seed(seed)
    models = {name: build_quality(PRESET, fusion=name) for name in (PRESET.default_fusion, OTHER)}
    return save_quality_weights(models[PRESET.default_fusion], models, path)


def write_repository(folder: Path, weights: Path) -> Path:
    """The models of the pipeline with version 1 of every engine, and no releases."""
    shutil.copytree(ROOT / "model_repository", folder, ignore=shutil.ignore_patterns(*BARE))
    assert main([PRESET.name, "--weights", str(weights), "--repository", str(folder)]) == 0
    return folder


def another_fusion(repository: Path, folder: Path, weights: Path) -> Path:
    """A set of one engine: the same weights, read by another fusion."""
    typed = ["--weights", str(weights), "--fusion", OTHER, "--only", FUSION, "--repository", str(repository)]
    assert main([PRESET.name, *typed, "--out", str(folder)]) == 0
    return folder


def retrained(repository: Path, folder: Path) -> Path:
    """The head of a training that ended a hair elsewhere: as good as the live one."""
    return _edited(repository, folder, sets.perturbing(seed=1, scale=1e-4), "retrained")


def turned_round(repository: Path, folder: Path) -> Path:
    """A head that was trained on distances: the better a video, the lower its score."""

    def change(model: onnx.ModelProto) -> None:
        (node,) = (node for node in model.graph.node if "quality_score" in node.output)
        node.output[0] = "distance"
        model.graph.node.append(helper.make_node("Neg", ["distance"], ["quality_score"]))

    return _edited(repository, folder, change, "trained on distances")


def _edited(repository: Path, folder: Path, change: sets.Edit, origin: str) -> Path:
    sets.export_of(repository, folder, (FUSION,))
    sets.edit(folder / FUSION, change)
    sets.claim_weights(folder, origin)
    return folder


def write_golden(folder: Path, weights: Path) -> Path:
    """Drawn videos without known quality, and PyTorch's answers with both fusions."""
    typed = ["golden", PIPELINE, "--weights", str(weights), "--out", str(folder)]
    assert main(typed) == 0
    assert main([*typed, "--fusion", OTHER]) == 0
    return folder


def with_known_quality(folder: Path, labelled: Path) -> Path:
    """The same videos, each whole one with a quality: what PyTorch says, stretched to 10 to 90 points."""
    shutil.copytree(folder, labelled)
    path = labelled / PIPELINE / golden.FILE
    content = json.loads(path.read_text())
    (answers,) = path.parent.glob(f"expected-{'?' * golden.DIGITS}.npz")
    with np.load(answers) as arrays:
        scores = arrays["quality_score"].ravel()
    whole = [not item["damage"] for item in content["items"]]
    low, high = scores[whole].min(), scores[whole].max()
    for item, score in zip(content["items"], scores, strict=True):
        if not item["damage"]:
            item |= {"target": float(10 + 80 * (score - low) / (high - low)), "complete": True}
    path.write_text(json.dumps(content))
    return labelled
