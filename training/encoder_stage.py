"""Stage one: every encoder learns alone to tell the classes apart, as far as its modality can."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from multimodal.build import build
from multimodal.front_ends import SeriesStandardiser
from multimodal.presets import PRESETS
from multimodal.weld import QuadModalWeldModel
from multimodal.weld_classes import MODALITIES
from training.dataset import load_dataset
from training.optimise import Optimiser
from training.prepared import Augmentation, Prepared, prepare, tokens_of
from training.recipe import EncoderRecipe, Recipe
from training.side_by_side import News, leave, train_side_by_side


@dataclass(frozen=True)
class Job:
    """Everything a worker needs to train one encoder; small enough to send to another process."""

    preset: str
    modality: str
    root: Path
    cache: Path
    folder: Path
    recipe: Recipe
    splits: dict[str, list[int]]

    @property
    def name(self) -> str:
        """Of its bar."""
        return f"{self.modality} encoder"

    @property
    def schedule(self) -> EncoderRecipe:
        """The numbers of this encoder's training."""
        return self.recipe.encoders[self.modality]

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole job."""
        return self.schedule.epochs * (len(self.splits["train"]) // self.schedule.batch)

    @property
    def result(self) -> Path:
        """Where the finished front end and encoder are written."""
        return self.folder / f"{self.modality}.safetensors"


class _Alone(nn.Module):
    """An encoder and the classifier on its tokens."""

    def __init__(self, model: QuadModalWeldModel, modality: str, width: int) -> None:
        super().__init__()
        self.model = model
        self.modality = modality
        self.heads = model.attach_auxiliary_heads({modality: width})

    def logits(self, data: Prepared, rows: Tensor, augment: Augmentation | None = None) -> Tensor:
        tokens = tokens_of(self.model, data, rows, augment)
        return self.heads({self.modality: tokens}, {self.modality: data.valid[rows]})[self.modality]


def fit_sensor_statistics(model: QuadModalWeldModel, series: Tensor) -> None:
    """Take mean and deviation of each channel from training runs, (runs, steps, channels)."""
    standardiser = model.front_ends["sensor"]
    if not isinstance(standardiser, SeriesStandardiser):
        raise TypeError(f"sensor front end: expected SeriesStandardiser, got {type(standardiser).__name__}")
    standardiser.fit(series)


def _state_of(model: QuadModalWeldModel, modality: str) -> dict[str, Tensor]:
    """A copy of one modality's front end and encoder."""
    prefixes = (f"front_ends.{modality}.", f"encoders.{modality}.")
    return {name: value.clone() for name, value in model.state_dict().items() if name.startswith(prefixes)}


def _accuracy(alone: _Alone, data: Prepared) -> float:
    alone.eval()
    with torch.no_grad():
        hits = [
            alone.logits(data, rows).argmax(1) == data.labels[rows]
            for rows in torch.arange(len(data)).split(64)
        ]
    return float(torch.cat(hits).float().mean())


def _train(job: Job, news: News) -> float:
    """Train one encoder, write its state, return its accuracy on the runs that choose the epoch."""
    torch.set_num_threads(1)
    # Sharp attention makes denormals: without this a step slows from 0.5 to 1.2 s.
    torch.set_flush_denormal(True)
    torch.manual_seed(job.recipe.seed + MODALITIES.index(job.modality))
    recipe, preset = job.schedule, PRESETS[job.preset]
    model = build(preset)
    dataset = load_dataset(job.root, preset, job.cache, workers=1)
    if job.modality == "sensor":
        fit_sensor_statistics(model, dataset.batch(job.splits["train"], ("sensor",))[0]["sensor"])
    data = {name: prepare(model, dataset, job.splits[name], job.modality) for name in ("train", "choose")}
    alone = _Alone(model, job.modality, preset.token_width(job.modality))
    parts = nn.ModuleList([model.encoders[job.modality], alone.heads])
    optimiser = Optimiser(parts, recipe, job.steps)
    augment = Augmentation(job.recipe.seed)
    best, state = -1.0, {}
    for epoch in range(recipe.epochs):
        alone.train()
        for _ in _epoch(alone, data["train"], recipe, optimiser, augment):
            news.put((job.name, 1, ""))
        reached = _accuracy(alone, data["choose"])
        news.put((job.name, 0, f"epoch {epoch + 1} accuracy {reached:.2f}"))
        if reached >= best:
            best = reached
            state = _state_of(model, job.modality)
    leave(state, job.result)
    return best


def _epoch(
    alone: _Alone,
    data: Prepared,
    recipe: EncoderRecipe,
    optimiser: Optimiser,
    augment: Augmentation,
) -> Iterator[None]:
    """Yields after every step."""
    order = torch.randperm(len(data), generator=augment.generator)
    whole = len(data) // recipe.batch * recipe.batch
    for rows in order[:whole].split(recipe.batch):
        logits = alone.logits(data, rows, augment)
        loss = nn.functional.cross_entropy(logits, data.labels[rows], label_smoothing=recipe.label_smoothing)
        optimiser.step(loss)
        yield


def train_encoders(jobs: list[Job], model: QuadModalWeldModel, workers: int = 2) -> dict[str, float]:
    """Train the encoders that are not there yet and load all of them into `model`; see `train_side_by_side`.

    returns: name of a job -> accuracy alone on the runs that chose the epoch, for those trained now
    """
    reached = train_side_by_side(_train, jobs, workers)
    for job in jobs:
        model.load_state_dict(load_file(job.result), strict=False)
    return reached
