"""What both pipelines of photos and texts are asked: held-out questions, by a server with their models."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from tritonclient.grpc import InferenceServerClient, InferInput

from export.__main__ import main
from export.golden import GOLDEN
from export.golden_network import Network
from export.golden_questions import QuestionItem
from multimodal.vision_language.build import (
    build_vision_language,
    load_pretrained,
    save_vision_language_weights,
)
from multimodal.vision_language.presets import VISION_LANGUAGE_PRESETS
from multimodal.visual_question.build import build_visual_question, save_visual_question
from multimodal.visual_question.presets import VISUAL_QUESTION_PRESETS

ROOT = Path(__file__).parents[2]
PAIR, QUESTION = "vision_language", "visual_question_answering"
PRESETS = {pipeline: f"{pipeline}_small" for pipeline in (PAIR, QUESTION)}
BARE = (
    "*.onnx",
    "*.plan",
    "manifest.json",
    "tokenizer.json",
    "generation.json",
    "releases.json",
    ".releases",
)
Answer = dict[str, np.ndarray]
Ask = Callable[[QuestionItem], Answer]


def served_models(pipeline: str, folder: Path) -> tuple[Path, Path]:
    """A repository with the pipeline's models, and their weights: this checkout's with the shipped weights.

    Before there are some, another with weights that nobody trained: what is compared is export, engines and
    serving, and that these say what PyTorch says holds for any weights.
    """
    shipped = ROOT / "weights" / f"{PRESETS[pipeline]}.safetensors"
    if not shipped.is_file():
        weights = untrained(pipeline, folder / shipped.name)
        return write_repository(folder / "models", pipeline, weights), weights
    command = [sys.executable, "-m", "export", PRESETS[pipeline]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip()), shipped


def untrained(pipeline: str, path: Path, seed: int = 3) -> Path:
    """Seeded weights of the small preset, on the pretrained parts that packages ship."""
    torch.manual_seed(seed)
    if pipeline == PAIR:
        pair = VISION_LANGUAGE_PRESETS[PRESETS[PAIR]]
        model = load_pretrained(build_vision_language(pair), pair)
        return save_vision_language_weights({model.fusion_name: model}, path)
    preset = VISUAL_QUESTION_PRESETS[PRESETS[QUESTION]]
    return save_visual_question(build_visual_question(preset), preset, path)


def write_repository(folder: Path, pipeline: str, weights: Path) -> Path:
    """The models of the checkout with version 1 of this pipeline's, and no releases."""
    others = ("weld_*", "video_quality*", QUESTION if pipeline == PAIR else PAIR)
    ignored = (*BARE, *others[:2], f"{others[2]}*", "[2-9]*", "__pycache__")
    shutil.copytree(ROOT / "model_repository", folder, ignore=shutil.ignore_patterns(*ignored))
    assert main([PRESETS[pipeline], "--weights", str(weights), "--repository", str(folder)]) == 0
    return folder


def items(pipeline: str, per_answer: int = 1) -> list[QuestionItem]:
    """One question of every answer, a photo cut off, a text too long, and for pairs either alone."""
    return list(GOLDEN[pipeline].choose({"seed": 7, "per_answer": per_answer}, Path()))


def pytorchs(pipeline: str, asked: Sequence[QuestionItem], weights: Path) -> dict[str, Answer]:
    """Item -> what PyTorch says on the reference decoder's tensors."""
    answers = GOLDEN[pipeline].answers(asked, Network(PRESETS[pipeline], weights))
    return {item.id: answer for item, answer in zip(asked, answers, strict=True)}


def asking(client: InferenceServerClient, pipeline: str) -> Ask:
    """A function that sends an item and gives every tensor of its answer, texts as texts."""

    def ask(item: QuestionItem) -> Answer:
        tensors = []
        for name, payload in item.inputs().items():
            tensor = InferInput(name, [1, len(payload)], "UINT8")
            tensor.set_data_from_numpy(payload[None])
            tensors.append(tensor)
        result = client.infer(pipeline, tensors)
        return {
            output.name: plain(result.as_numpy(output.name)[0]) for output in result.get_response().outputs
        }

    return ask


def plain(array: np.ndarray) -> np.ndarray:
    """Bytes of texts as texts."""
    if array.dtype.kind != "O":
        return array
    return np.asarray([text.decode() for text in array.ravel()]).reshape(array.shape)
