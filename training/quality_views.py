"""Stage one of video quality: the encoder of each view learns alone to score single moments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from multimodal.encoders.stage_statistics import StageStatisticsExtractor
from multimodal.pretrained import efficientnet_lite0_file
from multimodal.quality_build import build_quality
from multimodal.quality_losses import on_curve
from multimodal.quality_presets import QUALITY_PRESETS
from multimodal.quality_views import ViewEncoder
from training.clip_augmentation import ClipAugmentation
from training.clip_dataset import ClipDataset, load_clips
from training.optimise import Optimiser
from training.quality_metrics import is_better, srcc
from training.quality_recipe import QualityRecipe, ViewRecipe
from training.side_by_side import News, leave, train_side_by_side

SAMPLE = 256  # clips, one picture each, that tell the range of statistics
VIEWS = {"spatial": "video_fragments", "temporal": "video_frames"}


@dataclass(frozen=True)
class ViewJob:
    """Everything a worker needs to train one encoder; small enough to send to another process.

    key: digest of all that its weights depend on
    """

    preset: str
    view: str
    root: Path
    cache: Path
    folder: Path
    recipe: QualityRecipe
    steps: int
    key: str

    @property
    def name(self) -> str:
        """Of its bar."""
        return f"{self.view} view"

    @property
    def schedule(self) -> ViewRecipe:
        """The numbers of this encoder's training."""
        part: ViewRecipe = getattr(self.recipe, self.view)
        return part

    @property
    def result(self) -> Path:
        """Where the finished encoder is written."""
        return self.folder / f"{self.view}-{self.key}.safetensors"


class ViewAlone(nn.Module):
    """The encoder of a view with a score per moment, in deviations of the training scores."""

    def __init__(self, encoder: ViewEncoder, width: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.score = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, moments * burst, height, width, 3) uint8 -> (batch, moments)."""
        return self.score(self.encoder(pixels).tokens).squeeze(-1)


def visible(dataset: ClipDataset, rows: list[int], skip: tuple[str, ...]) -> list[int]:
    """The rows whose distortion has none of the names in it."""
    return [row for row in rows if not any(name in dataset.clips[row].distortion for name in skip)]


def steps_of(dataset: ClipDataset, recipe: ViewRecipe) -> int:
    """Optimiser steps of a whole training; as many groups in every epoch, whatever their order."""
    rows = visible(dataset, dataset.splits["train"], recipe.skip)
    groups = len(grouped(dataset, rows, recipe.group, np.random.default_rng(0)))
    return recipe.epochs * (groups // (recipe.batch // recipe.group))


def grouped(
    dataset: ClipDataset, rows: list[int], size: int, generator: np.random.Generator
) -> list[list[int]]:
    """Groups of `size` rows of one source, in random order; what is left over waits for the next epoch."""
    of_source: dict[str, list[int]] = {}
    for row in generator.permutation(rows).tolist():
        of_source.setdefault(dataset.clips[row].source, []).append(row)
    groups = [
        members[start : start + size]
        for members in of_source.values()
        for start in range(0, len(members) - size + 1, size)
    ]
    return [groups[index] for index in generator.permutation(len(groups))]


def _train(job: ViewJob, news: News) -> float:
    """Train one encoder, write its state, return its SRCC on the clips that choose the epoch."""
    torch.set_num_threads(1)  # two threads in one process spend their time waiting for each other
    torch.set_flush_denormal(True)
    torch.manual_seed(job.recipe.seed)
    generator = np.random.default_rng([job.recipe.seed, list(VIEWS).index(job.view)])
    recipe, preset = job.schedule, QUALITY_PRESETS[job.preset]
    dataset = load_clips(job.root, preset, job.cache, workers=1)
    rows = {name: visible(dataset, dataset.splits[name], recipe.skip) for name in ("train", "choose")}
    model = build_quality(preset)
    encoder = getattr(model, f"{job.view}_encoder")
    if recipe.published:
        _begin(
            encoder,
            dataset.arrays[VIEWS[job.view]][sorted(rows["train"])[:: max(1, len(rows["train"]) // SAMPLE)]],
        )
    alone = ViewAlone(encoder, preset.feature_width)
    targets = standardised(dataset, job.view, dataset.splits["train"], recipe.power)
    optimiser = Optimiser(alone, recipe, job.steps)
    augment = ClipAugmentation(preset.sampling, generator)
    best = float("nan")
    state: dict[str, Tensor] = {}
    for epoch in range(recipe.epochs):
        alone.train()
        groups = grouped(dataset, rows["train"], recipe.group, generator)
        step = _Step(job.view, alone, dataset, targets, optimiser, augment)
        for _ in _epoch(step, groups, recipe):
            news.put((job.name, 1, ""))
        reached = _judge(alone, dataset, rows["choose"], job.view)
        news.put((job.name, 0, f"epoch {epoch + 1} SRCC {reached:.3f}"))
        if is_better(reached, best) or not state:
            best = reached
            state = {name: value.clone() for name, value in alone.encoder.state_dict().items()}
    leave(state, job.result)
    return best


def _begin(encoder: ViewEncoder, clips: NDArray[np.generic]) -> None:
    """Take published weights for the backbone, freeze it, and learn the range of what it says of clips."""
    extractor = encoder.extractor
    if not isinstance(extractor, StageStatisticsExtractor):
        raise ValueError(
            f"training: expected an extractor with published weights, got {type(extractor).__name__}; "
            "train all of it"
        )
    extractor.backbone.load_published(efficientnet_lite0_file())
    extractor.backbone.freeze()
    extractor.fit(encoder.front_end(torch.from_numpy(np.asarray(clips[:, 0:1]))).flatten(0, 1))


def scores_seen(dataset: ClipDataset, view: str) -> NDArray[np.float32]:
    """Scores of all moments, (clips, 8), as far as a view can know: fragments show a moment's first frame."""
    return dataset.frame_scores[:, :, 0] if view == "spatial" else dataset.moment_scores


def standardised(dataset: ClipDataset, view: str, rows: list[int], power: float) -> NDArray[np.float32]:
    """`scores_seen` on the curve of `power`, in deviations of the scores of the given clips."""
    known = on_curve(dataset.scores[rows], power)
    return ((on_curve(scores_seen(dataset, view), power) - known.mean()) / known.std()).astype(np.float32)


@dataclass(frozen=True)
class _Step:
    """What every step of an epoch needs."""

    view: str
    alone: ViewAlone
    dataset: ClipDataset
    targets: NDArray[np.float32]
    optimiser: Optimiser
    augment: ClipAugmentation

    def __call__(self, rows: list[int], recipe: ViewRecipe) -> None:
        pixels = np.asarray(self.dataset.arrays[VIEWS[self.view]][np.array(rows)])
        chosen, pixels = self.augment.moments(pixels, recipe.moments)
        scores = self.alone(torch.from_numpy(self.augment(self.view, pixels)))
        wanted = torch.from_numpy(np.take_along_axis(self.targets[np.array(rows)], chosen, axis=1))
        loss = nn.functional.smooth_l1_loss(scores, wanted)
        damage, known = (
            of.mean(dim=1).unflatten(0, (-1, recipe.group)) for of in (scores, wanted)
        )  # (groups, clips)
        centred = (values - values.mean(dim=1, keepdim=True) for values in (damage, known))
        self.optimiser.step(loss + recipe.damage * nn.functional.smooth_l1_loss(*centred))


def _epoch(step: _Step, groups: list[list[int]], recipe: ViewRecipe) -> Iterator[None]:
    """Yields after every step."""
    together = recipe.batch // recipe.group
    for start in range(0, len(groups) - together + 1, together):
        step([row for group in groups[start : start + together] for row in group], recipe)
        yield


def _judge(alone: ViewAlone, dataset: ClipDataset, rows: list[int], view: str) -> float:
    """SRCC of the mean over moments, against the mean of their own scores."""
    alone.eval()
    found = []
    with torch.no_grad():
        for part in np.array_split(np.array(rows), max(1, len(rows) // 32)):
            found.append(alone(dataset.views(part)[VIEWS[view]]).mean(dim=1))
    return srcc(torch.cat(found).numpy(), scores_seen(dataset, view)[np.array(rows)].mean(axis=1))


def train_views(jobs: list[ViewJob], workers: int = 2) -> dict[str, dict[str, Tensor]]:
    """Train the encoders that are not there yet; returns view -> state of its encoder, for all of them."""
    train_side_by_side(_train, jobs, workers)
    return {job.view: load_file(job.result) for job in jobs}
