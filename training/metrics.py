"""How good an embedding is: as a classifier of twelve classes, and as a detector of anything not Good.

Both are judged by the k = 5 nearest neighbours in cosine distance. The published TEST split is 93 % defects,
so average precision starts at 0.93 there; AUROC is the number to compare.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    confusion_matrix,
    f1_score,
    roc_auc_score,
    roc_curve,
)
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from multimodal.weld_classes import CLASS_NAMES, GOOD

NEIGHBOURS = 5
Features = NDArray[np.floating]
Labels = NDArray[np.integer]


@dataclass(frozen=True)
class ClassificationReport:
    """How often the class was right; confusion: (classes, classes) counts, true class in the row."""

    accuracy: float
    macro_f1: float
    weighted_f1: float
    confusion: NDArray[np.int64]

    def as_dict(self) -> dict[str, object]:
        """The same for JSON."""
        return vars(self) | {"confusion": self.confusion.tolist()}


@dataclass(frozen=True)
class AnomalyReport:
    """How well a score tells defects (positive) from Good; per_defect_auroc: Good against that defect alone.

    threshold: call a weld defective from here on; true minus false positive rate is largest (Youden)
    """

    auroc: float
    average_precision: float
    per_defect_auroc: dict[str, float]
    threshold: float

    def as_dict(self) -> dict[str, object]:
        """The same for JSON."""
        return dict(vars(self))


def _require_bank(bank: Features, content: str) -> None:
    if len(bank) < NEIGHBOURS:
        raise ValueError(f"bank: expected at least {NEIGHBOURS} {content}, got {len(bank)}; add runs")


def judge_classes(labels: Labels, predicted: Labels) -> ClassificationReport:
    """Compare predicted with true classes, both (runs,); F1 is averaged over the classes in either."""
    return ClassificationReport(
        accuracy=float(accuracy_score(labels, predicted)),
        macro_f1=float(f1_score(labels, predicted, average="macro", zero_division=0)),
        weighted_f1=float(f1_score(labels, predicted, average="weighted", zero_division=0)),
        confusion=confusion_matrix(labels, predicted, labels=np.arange(len(CLASS_NAMES))),
    )


def classify_by_neighbours(
    bank: Features, bank_labels: Labels, features: Features, labels: Labels
) -> ClassificationReport:
    """Let the nearest bank entries vote on the class of every run; a tie goes to the lower class index.

    bank (entries, width), bank_labels (entries,), features (runs, width), labels (runs,)
    """
    _require_bank(bank, "entries")
    voters = KNeighborsClassifier(NEIGHBOURS, metric="cosine", algorithm="brute").fit(bank, bank_labels)
    return judge_classes(labels, voters.predict(features))


def distance_to_good(good_bank: Features, features: Features) -> NDArray[np.float64]:
    """Anomaly score (runs,): mean cosine distance to the nearest entries of a bank of Good welds."""
    _require_bank(good_bank, "Good entries")
    nearest = NearestNeighbors(n_neighbors=NEIGHBOURS, metric="cosine", algorithm="brute").fit(good_bank)
    distances, _ = nearest.kneighbors(features)
    return distances.mean(axis=1).astype(np.float64)


def judge_scores(labels: Labels, scores: NDArray[np.floating]) -> AnomalyReport:
    """Compare anomaly scores (runs,), higher is worse, with the true classes (runs,).

    raises ValueError unless both Good runs and defects are there
    """
    defect = labels != GOOD
    count = int(defect.sum())
    if count in (0, len(labels)):
        raise ValueError(f"scores: expected Good runs and defects, got {count} defects in {len(labels)} runs")
    per_defect = {}
    for index in np.unique(labels[defect]):
        chosen = (labels == GOOD) | (labels == index)
        per_defect[CLASS_NAMES[index]] = float(roc_auc_score(defect[chosen], scores[chosen]))
    false_positive, true_positive, thresholds = roc_curve(defect, scores)
    return AnomalyReport(
        auroc=float(roc_auc_score(defect, scores)),
        average_precision=float(average_precision_score(defect, scores)),
        per_defect_auroc=per_defect,
        threshold=float(thresholds[np.argmax(true_positive - false_positive)]),
    )


def anomaly_by_neighbours(good_bank: Features, features: Features, labels: Labels) -> AnomalyReport:
    """Judge `distance_to_good`: good_bank (entries, width), features (runs, width), labels (runs,)."""
    return judge_scores(labels, distance_to_good(good_bank, features))
