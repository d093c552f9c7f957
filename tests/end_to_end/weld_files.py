"""Payloads of weld runs: what a client sends."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.stages import payloads_of
from multimodal.weld_classes import MODALITIES
from training.weld_folder import find_runs

TOLERANCE = 1e-4  # an engine's parity with PyTorch; batches of other sizes round differently within it


@dataclass(frozen=True)
class WeldFiles:
    """One weld: class index and the bytes of its files."""

    class_index: int
    video: bytes
    image: list[bytes]
    audio: bytes
    sensor: bytes

    def payloads(self, *modalities: str, **replaced: Any) -> dict[str, Any]:
        """Arguments of `Client.infer`: the named modalities (all without a name), some of them replaced."""
        return {name: getattr(self, name) for name in modalities or MODALITIES} | replaced


def read_welds(root: Path) -> list[WeldFiles]:
    return [WeldFiles(run.class_index, **payloads_of(run)) for run in find_runs(root)]


def differences(one, other) -> list[str]:
    """What two answers of `weld_inspection` disagree about, beyond the parity tolerance; empty when equal."""
    found = []
    if one.status != other.status or one.image_status != other.image_status:
        found.append(f"status {one.status} and {other.status}")
    for name in one.scores:
        if abs(one.scores[name] - other.scores[name]) > TOLERANCE:
            found.append(f"{name}: {one.scores[name]} and {other.scores[name]}")
    if abs(one.anomaly_score - other.anomaly_score) > TOLERANCE:
        found.append(f"anomaly score {one.anomaly_score} and {other.anomaly_score}")
    if not np.allclose(one.embedding, other.embedding, atol=TOLERANCE):
        found.append("embedding")
    for name, rows in one.attention.items():
        if not np.allclose(rows, other.attention[name], atol=TOLERANCE):
            found.append(f"attention to {name}")
    return found
