"""Judge a trained weld model on held-out runs: with all modalities, and with each one alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from multimodal.weld import FusedAnswer
from multimodal.weld_classes import GOOD, MODALITIES
from training.fusion_stage import TokenSet, answers
from training.metrics import (
    AnomalyReport,
    ClassificationReport,
    anomaly_by_neighbours,
    classify_by_neighbours,
    judge_classes,
    judge_scores,
)


@dataclass(frozen=True)
class Answers:
    """One pass over some runs: features (runs, width); predicted, served anomaly score and labels (runs,)."""

    features: NDArray[np.float32]
    predicted: NDArray[np.int64]
    anomaly_score: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Judgement:
    """What the served answer is worth: its class and its anomaly score."""

    classes: ClassificationReport
    anomaly: AnomalyReport


@dataclass(frozen=True)
class Evaluation:
    """The content of a model card.

    fused: all modalities; alone: one modality, the others hidden; neighbour_*: the same features judged by
    their nearest neighbours among the training runs, as embeddings are usually compared
    """

    fused: Judgement
    alone: dict[str, Judgement]
    neighbour_classes: ClassificationReport
    neighbour_anomaly: AnomalyReport
    runs: dict[str, int]

    @property
    def margin(self) -> tuple[float, float]:
        """Fused minus the best single modality: accuracy, AUROC."""
        return (
            self.fused.classes.accuracy - max(one.classes.accuracy for one in self.alone.values()),
            self.fused.anomaly.auroc - max(one.anomaly.auroc for one in self.alone.values()),
        )


def collect(head: FusedAnswer, data: TokenSet, only: str | None = None) -> Answers:
    """Every run's answer, in order; `only` leaves one modality."""
    outputs = list(answers(head, data, only))
    return Answers(
        torch.cat([output.features for output in outputs]).numpy(),
        torch.cat([output.logits.argmax(dim=1) for output in outputs]).numpy(),
        torch.cat([output.anomaly_score for output in outputs]).numpy(),
        data.labels.numpy(),
    )


def judge(collected: Answers) -> Judgement:
    """Score the classifier and the anomaly head."""
    return Judgement(
        judge_classes(collected.labels, collected.predicted),
        judge_scores(collected.labels, collected.anomaly_score),
    )


def evaluate_weld(head: FusedAnswer, train: TokenSet, held_out: TokenSet) -> Evaluation:
    """Judge the fused model, each modality alone, and the neighbours in feature space (P1 and P2)."""
    bank, fused = collect(head, train), collect(head, held_out)
    good = bank.labels == GOOD
    return Evaluation(
        judge(fused),
        {name: judge(collect(head, held_out, name)) for name in MODALITIES},
        classify_by_neighbours(bank.features, bank.labels, fused.features, fused.labels),
        anomaly_by_neighbours(bank.features[good], fused.features, fused.labels),
        {"train": len(train), "held out": len(held_out)},
    )
