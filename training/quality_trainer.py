"""Trains any model that scores a batch of clips, keeps the epoch that ranks best, and resumes where it was.

A model maps {name: (batch, ...)} to {"quality_score": (batch, 1), "fusion_info": {...}} and, where frames are
scored too, "frame_scores": (batch, frames); an `Ask` says how it is called.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from multimodal.quality_losses import LossWeights, QualityObjective, regression_loss
from training.quality_checkpoint import load_checkpoint, replace_file, save_checkpoint
from training.quality_metrics import QualityReport, is_better, judge_quality
from training.quality_samples import Samples, batches_on

CHECKPOINT, BEST, HISTORY = "checkpoint.pt", "best.pt", "history.json"
Ask = Callable[[nn.Module, dict[str, Tensor]], Mapping[str, Any]]


def ask_with_dict(model: nn.Module, inputs: dict[str, Tensor]) -> Mapping[str, Any]:
    """Call a model whose one argument is the whole batch of inputs."""
    return model(inputs)


def ask_by_name(model: nn.Module, inputs: dict[str, Tensor]) -> Mapping[str, Any]:
    """Call a model whose arguments are the inputs by name."""
    return model(**inputs)


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(f"quality training: {sentence}")


@dataclass(frozen=True)
class QualityTraining:
    """Everything that decides what weights come out, apart from the model and the clips.

    warm_up:   epochs of rising learning rate before the cosine descent
    grad_clip: largest norm of a gradient
    loss:      which terms count how much; a regulariser is switched off by a weight of 0
    keep:      the epoch whose weights stay: the "best" on the samples to choose by, or the "last"
    """

    epochs: int = 100
    batch: int = 32
    learning_rate: float = 1e-4
    weight_decay: float = 1e-5
    warm_up: int = 0
    grad_clip: float = 1.0
    seed: int = 0
    loss: LossWeights = field(default_factory=LossWeights)
    keep: str = "best"

    def __post_init__(self) -> None:
        _require(self.epochs >= 1, f"expected at least 1 epoch, got {self.epochs}")
        _require(self.batch >= 1, f"expected a batch of at least 1, got {self.batch}")
        for name in ("learning_rate", "grad_clip"):
            value = getattr(self, name)
            _require(0 < value < math.inf, f"expected a finite {name} above 0, got {value}")
        _require(
            0 <= self.weight_decay < math.inf,
            f"expected a finite weight_decay of at least 0, got {self.weight_decay}",
        )
        _require(self.keep in ("best", "last"), f"expected to keep the best or the last, got {self.keep}")
        _require(
            0 <= self.warm_up < self.epochs,
            f"expected warm_up in [0, epochs), got {self.warm_up} of {self.epochs}",
        )


def learning_rate_in(epoch: int, settings: QualityTraining) -> float:
    """Learning rate of an epoch, counted from 0: a straight rise to the peak, half a cosine down to 0."""
    if epoch < settings.warm_up:
        return settings.learning_rate * (epoch + 1) / (settings.warm_up + 1)
    passed = (epoch - settings.warm_up) / (settings.epochs - settings.warm_up)
    return settings.learning_rate * (1 + math.cos(math.pi * passed)) / 2


def device_of(model: nn.Module) -> torch.device:
    """Where the model's first parameter is."""
    return next(model.parameters()).device


@torch.no_grad()
def predict(
    model: nn.Module, samples: Samples, batch: int = 32, ask: Ask = ask_with_dict
) -> tuple[Tensor, Tensor]:
    """Scores and targets of all samples in order, (samples,) each, on the processor; ends in eval mode."""
    model.eval()
    scores, targets = [], []
    for inputs, wanted, _ in batches_on(device_of(model), samples, torch.arange(len(samples)), batch):
        scores.append(ask(model, inputs)["quality_score"].float().reshape(-1))
        targets.append(wanted.reshape(-1))
    return torch.cat(scores).cpu(), torch.cat(targets).cpu()


def evaluate(model: nn.Module, samples: Samples, batch: int = 32, ask: Ask = ask_with_dict) -> QualityReport:
    """Judge the model on all samples; ends in eval mode."""
    scores, targets = predict(model, samples, batch, ask)
    return judge_quality(scores.numpy(), targets.numpy())


def train_mode(model: nn.Module) -> None:
    """Training mode, except for frozen parts: they keep their running statistics and drop nothing."""
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


class QualityTrainer:
    """AdamW, one cosine, and a memory of the epoch with the highest SRCC on the samples to choose by.

    ask:    how the model is called
    folder: where `checkpoint.pt` (all that resuming needs), `best.pt` (weights and figures of the best epoch)
            and `history.json` go after every epoch; None keeps everything in memory
    The same initial weights, clips and settings give the same weights, interrupted or not: to the bit on a
    CPU with a fixed number of threads.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: QualityTraining,
        train: Samples,
        choose: Samples,
        folder: Path | None = None,
        ask: Ask = ask_with_dict,
        title: str = "quality",
    ) -> None:
        _require(len(train) >= 1, "expected clips to train on, got none")
        _require(len(choose) >= 2, f"expected at least 2 clips to choose by, got {len(choose)}")
        self.model, self.settings = model, settings
        self.train, self.choose, self.folder, self.ask = train, choose, folder, ask
        self.title = title
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {"epoch": 0, "srcc": math.nan, "model": {}}
        self._objective = QualityObjective(settings.loss)
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        _require(bool(self._parameters), "expected a model with something to train, all of it is frozen")
        self._optimiser = torch.optim.AdamW(
            self._parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self._order = torch.Generator().manual_seed(settings.seed)

    def run(self) -> list[dict[str, Any]]:
        """Train all epochs that are left; the model ends in eval mode with the weights of the best epoch.

        Without an epoch whose SRCC exists, or told to, it keeps the last weights. A run that was interrupted
        is continued by a new trainer, after `resume`.
        returns: one dict per epoch: epoch (from 1), learning_rate, train_<term>, choose_loss,
                 choose_<figure of QualityReport>, best (whether it was the best so far)
        FloatingPointError when the loss is no number any more; what was saved before stays
        """
        if not self.history:
            torch.manual_seed(self.settings.seed)
        steps = math.ceil(len(self.train) / self.settings.batch)
        done = len(self.history)
        with tqdm(
            total=self.settings.epochs * steps,
            initial=done * steps,
            desc=self.title,
            unit="step",
            mininterval=1,
        ) as bar:
            for epoch in range(done, self.settings.epochs):
                self._run_epoch(epoch, bar)
        if self.best["epoch"] and self.settings.keep == "best":
            self.model.load_state_dict(self.best["model"])
        self.model.eval()
        return self.history

    def resume(self) -> int:
        """Take up the folder's checkpoint; returns the epochs done, 0 where there is none.

        ValueError when it belongs to other settings or another number of clips
        """
        path = None if self.folder is None else self.folder / CHECKPOINT
        if path is None or not path.exists():
            return 0
        state = load_checkpoint(path)
        kept, wanted = state["settings"], self._identity()
        other = [name for name in wanted if kept.get(name) != wanted[name]]
        _require(
            not other,
            f"expected a checkpoint of the same settings in {path}, got other {', '.join(other)}; "
            "choose another folder, or the settings it was begun with",
        )
        self.model.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.history, self.best = state["history"], state["best"]
        self._order.set_state(state["order_rng"])
        torch.set_rng_state(state["torch_rng"])
        if device_of(self.model).type == "cuda":
            torch.cuda.set_rng_state(state["cuda_rng"], device_of(self.model))
        return len(self.history)

    def _run_epoch(self, epoch: int, bar: tqdm) -> None:
        """Train, judge, remember, save."""
        rate = learning_rate_in(epoch, self.settings)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        losses = self._train_epoch(bar)
        if not math.isfinite(losses["loss"]):
            raise FloatingPointError(
                f"quality training: expected a finite loss, got {losses['loss']} in epoch {epoch + 1}; lower "
                "the learning rate, or look for targets that are no numbers"
            )
        scores, targets = predict(self.model, self.choose, self.settings.batch, self.ask)
        report = judge_quality(scores.numpy(), targets.numpy())
        better = is_better(report.srcc, self.best["srcc"])
        if better:
            weights = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}
            self.best = {"epoch": epoch + 1, "srcc": report.srcc, "model": weights}
        row = {"epoch": epoch + 1, "learning_rate": rate}
        row |= {f"train_{name}": value for name, value in losses.items()}
        row["choose_loss"] = float(regression_loss(self.settings.loss.criterion, scores, targets))
        row |= {f"choose_{name}": value for name, value in report.as_dict().items()}
        self.history.append(row | {"best": better})
        bar.set_postfix_str(f"SRCC {report.srcc:.3f}, best {self.best['srcc']:.3f}", refresh=False)
        self._save(better)

    def _train_epoch(self, bar: tqdm) -> dict[str, float]:
        """One pass in random order; every term of the loss, averaged over the clips."""
        train_mode(self.model)
        totals: dict[str, Tensor] = {}
        order = torch.randperm(len(self.train), generator=self._order)
        for inputs, targets, frames in batches_on(
            device_of(self.model), self.train, order, self.settings.batch
        ):
            self._optimiser.zero_grad(set_to_none=True)
            terms = self._objective(self.ask(self.model, inputs), targets, frames)
            terms["loss"].backward()
            nn.utils.clip_grad_norm_(self._parameters, self.settings.grad_clip)
            self._optimiser.step()
            for name, term in terms.items():
                totals[name] = totals.get(name, 0) + term.detach() * len(targets)
            bar.update()
        return {name: float(total) / len(self.train) for name, total in totals.items()}

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must agree on to be continued."""
        return {**asdict(self.settings), "clips": len(self.train)}

    def _save(self, better: bool) -> None:
        if self.folder is None:
            return
        device = device_of(self.model)
        cuda_rng = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        state = {
            "settings": self._identity(),
            "model": self.model.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "history": self.history,
            "best": self.best,
            "order_rng": self._order.get_state(),
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": cuda_rng,
        }
        if better:
            figures = {"settings": self._identity(), "figures": self.history[-1]}
            save_checkpoint(self.folder / BEST, self.best | figures)
        save_checkpoint(self.folder / CHECKPOINT, state)
        rows = json.dumps([_without_nan(row) for row in self.history], indent=1, allow_nan=False)
        replace_file(self.folder / HISTORY, lambda file: file.write(rows.encode()))


def _without_nan(row: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no NaN; null says as much."""
    return {name: None if value != value else value for name, value in row.items()}
