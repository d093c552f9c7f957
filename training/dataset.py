"""Decode a root of weld runs once, keep the tensors on disk, hand out torch batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multimodal.presets import WeldPreset
from multimodal.weld_classes import MODALITIES
from training.decoded_cache import open_cache
from training.decoding import Status
from training.weld_cache import PCM, weld_plan
from training.weld_folder import WeldRun, find_runs, split_by_session


@dataclass(frozen=True)
class WeldDataset:
    """Decoded runs, memory-mapped.

    runs:     where each row came from; labels and sessions are read from it
    arrays:   video (runs, frames, size, size, 3) uint8, image (runs, count, size, size, 3) uint8,
              audio (runs, samples) int16, audio_samples (runs, 1) int32, sensor (runs, steps, 6) float32
    valid:    modality -> (runs, rows) bool
    statuses: (runs, 4) int32 in the order of MODALITIES, see decoding.Status
    """

    runs: tuple[WeldRun, ...]
    arrays: dict[str, NDArray[np.generic]]
    valid: dict[str, NDArray[np.bool_]]
    statuses: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.runs)

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class index of every run, (runs,)."""
        return np.asarray([run.class_index for run in self.runs], np.int64)

    def batch(
        self, rows: Sequence[int], modalities: Sequence[str] = MODALITIES
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
        """Copy rows into torch: raw (uint8 pixels, float32 sound, as served), valid, labels (batch,).

        modalities: whose tensors are read from disk; `valid` always has all of them
        """
        chosen = np.asarray(rows, np.int64)
        names = [name for name in self.arrays if name.removesuffix("_samples") in modalities]
        raw = {name: torch.from_numpy(np.asarray(self.arrays[name][chosen])) for name in names}
        if "audio" in raw:
            raw["audio"] = raw["audio"].float() / PCM
        valid = {name: torch.from_numpy(mask[chosen]) for name, mask in self.valid.items()}
        return raw, valid, torch.from_numpy(self.labels[chosen])

    def batches(self, size: int) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor], Tensor]]:
        """All runs in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.batch(range(start, min(start + size, len(self))))

    def split(self, shares: dict[str, float], seed: int = 0) -> dict[str, list[int]]:
        """Rows of session-grouped, stratified splits; see weld_folder.split_by_session."""
        return split_by_session(self.runs, shares, seed)

    def status_counts(self) -> dict[str, dict[str, int]]:
        """Modality -> status -> number of runs, for a report."""
        return {
            name: {status.name: int((self.statuses[:, index] == status).sum()) for status in Status}
            for index, name in enumerate(MODALITIES)
        }


def load_dataset(root: Path, preset: WeldPreset, cache: Path, workers: int = 2) -> WeldDataset:
    """Decode every run under `root` for a preset, or take what an earlier call left in `cache`.

    raises FileNotFoundError without runs, ValueError where a modality of the whole root cannot be read
    """
    runs = find_runs(root)
    arrays = open_cache(weld_plan(root, runs, preset), cache, workers)
    statuses = np.array(arrays.pop("statuses"), np.int32)
    usable = (statuses == Status.OK) | (statuses == Status.PARTIAL)
    valid = {name: usable[:, index : index + 1] for index, name in enumerate(MODALITIES)}
    valid["image"] = np.array(arrays.pop("image_valid"))
    for index, name in enumerate(MODALITIES):
        if (statuses[:, index] == Status.CORRUPT).all():
            raise ValueError(
                f"{root}: expected readable {name} files, all {len(runs)} are corrupt; check their format"
            )
    return WeldDataset(tuple(runs), arrays, valid, statuses)
