"""Stage two of video quality: the wires of all clips once, then a head for every fusion on them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from tqdm import tqdm

from multimodal.fusions import QUALITY_FUSIONS
from multimodal.quality_build import QualityModel, build_quality, trunk_state
from multimodal.quality_heads import ClipWires
from multimodal.quality_presets import VideoQualityPreset
from training.clip_augmentation import ClipAugmentation
from training.clip_dataset import ClipDataset
from training.quality_recipe import QualityRecipe
from training.quality_samples import TensorSamples
from training.quality_trainer import QualityTrainer
from training.side_by_side import leave

CHUNK = 32  # clips at a time through the encoders
FIRST = "multi_level"  # trains before the others whichever is served: it reads all wires of both views
FRAME_LOSS = 1.0  # of the first fusion: its training also teaches the head that scores single moments


def ask_with_wires(model: nn.Module, inputs: Mapping[str, Tensor]) -> dict[str, Any]:
    """Let a quality model judge cached wires."""
    judge: Callable[[ClipWires], dict[str, Any]] = model.fuse  # type: ignore[assignment]
    return judge(ClipWires(**inputs))


@torch.no_grad()
def wires_of(
    model: QualityModel,
    dataset: ClipDataset,
    rows: Sequence[int],
    bar: tqdm,
    augment: ClipAugmentation | None,
) -> TensorSamples:
    """Encode the chosen clips; `augment` shows them otherwise, with the same scores."""
    parts: list[ClipWires] = []
    for chunk in np.array_split(np.asarray(rows, np.int64), max(1, -(-len(rows) // CHUNK))):
        views = {name: np.asarray(array[chunk]) for name, array in dataset.arrays.items()}
        if augment is not None:
            views["video_frames"] = augment("temporal", views["video_frames"])
            views["video_fragments"] = augment("spatial", views["video_fragments"])
        parts.append(model.encode({name: torch.from_numpy(pixels) for name, pixels in views.items()}))
        bar.update(len(chunk))
    joined = ClipWires(*(torch.cat(wire) for wire in zip(*parts, strict=True)))
    chosen = np.asarray(rows, np.int64)
    scores, frames = torch.from_numpy(dataset.scores[chosen]), torch.from_numpy(dataset.moment_scores[chosen])
    return TensorSamples(joined._asdict(), scores, frames)


def joined(samples: Sequence[TensorSamples]) -> TensorSamples:
    """All of them as one."""
    names = samples[0].inputs
    frames = [one.frame_targets for one in samples if one.frame_targets is not None]
    return TensorSamples(
        {name: torch.cat([one.inputs[name] for one in samples]) for name in names},
        torch.cat([one.targets for one in samples]),
        torch.cat(frames) if frames else None,
    )


def encode(
    model: QualityModel, dataset: ClipDataset, splits: Sequence[str], cache: Path
) -> dict[str, TensorSamples]:
    """Wires of the clips of some splits; what an earlier call left in `cache` is taken from there."""
    digest = _digest(model, dataset)
    return {
        name: kept(cache, f"{name}-{digest}", partial(_shown, model, dataset, dataset.splits[name]))
        for name in splits
    }


def _shown(model: QualityModel, dataset: ClipDataset, rows: list[int]) -> TensorSamples:
    with tqdm(total=len(rows), desc="encode", unit="clip") as bar:
        return wires_of(model, dataset, rows, bar, None)


def _digest(model: QualityModel, dataset: ClipDataset) -> str:
    """Of the encoders' weights and of the clips that they encode."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if "_encoder." in name:
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    digest.update(repr([(clip.path.name, clip.score) for clip in dataset.clips]).encode())
    return digest.hexdigest()[:16]


def kept(cache: Path, name: str, make: Callable[[], TensorSamples]) -> TensorSamples:
    """What `make` gives, from the disk where an earlier call left it: encoding takes many minutes."""
    path = cache / f"{name}.safetensors"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        made = make()
        tensors = {f"inputs.{wire}": tensor for wire, tensor in made.inputs.items()}
        tensors |= {"targets": made.targets}
        if made.frame_targets is not None:
            tensors["frame_targets"] = made.frame_targets
        leave(tensors, path)
    tensors = load_file(path)
    inputs = {
        wire.removeprefix("inputs."): tensor for wire, tensor in tensors.items() if wire.startswith("inputs.")
    }
    return TensorSamples(inputs, tensors["targets"], tensors.get("frame_targets"))


def encode_to_learn(
    model: QualityModel,
    dataset: ClipDataset,
    preset: VideoQualityPreset,
    recipe: QualityRecipe,
    cache: Path,
) -> TensorSamples:
    """Wires of the training clips as they are, and `views` times more, each time shown otherwise."""
    name = f"learn-{recipe.views}-{recipe.seed}-{_digest(model, dataset)}"
    return kept(cache, name, partial(_shown_often, model, dataset, preset, recipe))


def _shown_often(
    model: QualityModel, dataset: ClipDataset, preset: VideoQualityPreset, recipe: QualityRecipe
) -> TensorSamples:
    rows = dataset.splits["train"]
    augment = ClipAugmentation(preset.sampling, np.random.default_rng([recipe.seed, 2]))
    with tqdm(total=len(rows) * (1 + recipe.views), desc="encode to learn", unit="clip") as bar:
        shown = [wires_of(model, dataset, rows, bar, None)]
        shown += [wires_of(model, dataset, rows, bar, augment) for _ in range(recipe.views)]
    return joined(shown)


def train_fusions(
    trunk: QualityModel,
    preset: VideoQualityPreset,
    recipe: QualityRecipe,
    encoded: Mapping[str, TensorSamples],
    names: Sequence[str] = tuple(QUALITY_FUSIONS),
) -> dict[str, QualityModel]:
    """A trained model for every fusion named, all with the trunk of the first, whose encoders stay frozen.

    trunk: with the fusion `FIRST`; it is trained first, and the head for single moments with it
    """
    order = [trunk.fusion_name, *(name for name in names if name != trunk.fusion_name)]
    trained: dict[str, QualityModel] = {}
    for name in order:
        first = not trained
        model = trunk if first else beside(trunk, preset, name)
        freeze_trunk(model, frame_head_too=not first)
        loss = replace(recipe.fusion.loss, frames=FRAME_LOSS if first else 0.0)
        settings = replace(recipe.fusion, loss=loss)
        train, choose = encoded["train"], encoded["choose"]
        QualityTrainer(model, settings, train, choose, ask=ask_with_wires, title=name).run()
        trained[name] = model
    return {name: trained[name] for name in (*names, trunk.fusion_name) if name in trained}


def beside(trunk: QualityModel, preset: VideoQualityPreset, name: str) -> QualityModel:
    """A model of the same preset and trunk with another fusion, its head untrained."""
    model = build_quality(preset, fusion=name)
    model.load_state_dict(trunk_state(trunk), strict=False)
    return model


def freeze_trunk(model: QualityModel, frame_head_too: bool) -> None:
    """Leave only what depends on the fusion to learn, and the head for moments unless it has learnt."""
    for name, parameter in model.named_parameters():
        belongs = name.startswith(model.OF_FUSION)
        parameter.requires_grad_(belongs or (name.startswith("frame_head.") and not frame_head_too))
