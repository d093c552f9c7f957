"""What a new set may cost: one table of numbers per pipeline, each with its reason.

`release check` compares a set with the live one by these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """The limits of one pipeline.

    tolerances:    output -> largest |answer - PyTorch's| of any element
    exact:         outputs that must be equal
    distributions: outputs whose last axis has to sum to 1
    classes, score: the outputs that `accuracy` and `auroc` are computed from
    drops:         metric -> by how much a set may be worse than the live one
    median_ratio, p95_ratio: latency of the new set over that of the live one, same requests, alternating
    error_rise, degraded_rise: by how much a share of requests (payloads) may grow after a flip
    watch_ratio:   mean latency after a flip over the one before
    requests:      below so many a period says nothing
    """

    tolerances: Mapping[str, float]
    exact: tuple[str, ...]
    distributions: tuple[str, ...]
    classes: str
    score: str
    drops: Mapping[str, float]
    median_ratio: float
    p95_ratio: float
    error_rise: float
    degraded_rise: float
    watch_ratio: float
    requests: int

    def __post_init__(self) -> None:
        for name in ("median_ratio", "p95_ratio", "watch_ratio"):
            if getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected above 1, else equal sets fail, got {getattr(self, name)}")
        for name in ("error_rise", "degraded_rise"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a share between 0 and 1, got {getattr(self, name)}")


BUDGETS = {
    "weld_inspection": Budget(
        tolerances={
            "probabilities": 0.05,
            "anomaly_score": 0.05,
            "embedding": 0.05,
            "video_attention": 0.05,
            "image_attention": 0.05,
            "audio_attention": 0.05,
            "sensor_attention": 0.05,
        },
        exact=("modality_status", "image_status"),
        distributions=("probabilities",),
        classes="probabilities",
        score="anomaly_score",
        drops={"accuracy": 0.05, "auroc": 0.02},
        median_ratio=1.25,
        p95_ratio=1.6,
        error_rise=0.01,
        degraded_rise=0.05,
        watch_ratio=1.5,
        requests=50,
    ),
}
