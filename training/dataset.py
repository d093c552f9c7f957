"""Decode a root of weld runs once, keep the tensors on disk, hand out torch batches."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from multimodal.presets import WeldPreset
from multimodal.weld_classes import MODALITIES
from training import decoding
from training.decoding import DecodedWeld, Status, decode_run
from training.weld_folder import WeldRun, find_runs, split_by_session

_PCM = 32767.0  # sound is kept as 16-bit integers, as the recordings are: half the space


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

    def batch(self, rows: Sequence[int]) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
        """Copy rows into torch: raw (as the served tensors: uint8 pixels, float32 sound), valid, labels (batch,)."""
        chosen = np.asarray(rows, np.int64)
        raw = {name: torch.from_numpy(np.asarray(array[chosen])) for name, array in self.arrays.items()}
        raw["audio"] = raw["audio"].float() / _PCM
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


def cache_key(root: Path, runs: Sequence[WeldRun], preset: WeldPreset) -> str:
    """Digest of everything the decoded tensors depend on: sizes of the preset, files of the root, the decoder's code."""
    digest = hashlib.sha256(repr(replace(preset, name="")).encode())
    digest.update(Path(decoding.__file__).read_bytes())
    manifest = root / "manifest.csv"
    digest.update(manifest.read_bytes() if manifest.is_file() else b"")
    for run in runs:
        for path in (run.video, *run.photos, run.audio, run.sensor):
            if path is None:
                digest.update(b"absent\0")
                continue
            facts = path.stat()
            digest.update(f"{path.relative_to(root)}\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:16]


def _shapes(preset: WeldPreset) -> dict[str, tuple[tuple[int, ...], type]]:
    video, image, audio, sensor = preset.video, preset.image, preset.audio, preset.sensor
    return {
        "video": ((video.frames, video.size_px, video.size_px, 3), np.uint8),
        "image": ((image.count, image.size_px, image.size_px, 3), np.uint8),
        "audio": ((audio.samples,), np.int16),
        "audio_samples": ((1,), np.int32),
        "sensor": ((sensor.steps, sensor.channels), np.float32),
        "image_valid": ((image.count,), np.bool_),
        "statuses": ((len(MODALITIES),), np.int32),
    }


def _row(decoded: DecodedWeld) -> dict[str, NDArray[np.generic]]:
    return decoded.raw | {
        "audio": np.round(decoded.raw["audio"].astype(np.float64) * _PCM).astype(np.int16),
        "image_valid": decoded.valid["image"],
        "statuses": np.asarray([decoded.statuses[name] for name in MODALITIES], np.int32),
    }


def _decode_row(job: tuple[WeldRun, WeldPreset]) -> dict[str, NDArray[np.generic]]:
    return _row(decode_run(*job))


def _decode_all(runs: Sequence[WeldRun], preset: WeldPreset, folder: Path, workers: int) -> None:
    """Fill `folder` with one .npy per tensor, one row per run."""
    arrays = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (len(runs), *shape))
        for name, (shape, dtype) in _shapes(preset).items()
    }
    jobs = [(run, preset) for run in runs]
    bar = tqdm(total=len(runs), desc=f"decode for {preset.name}", unit="run")
    # spawn: the caller may have started torch's threads, which a fork would break
    with bar, ProcessPoolExecutor(max(workers, 1), mp_context=multiprocessing.get_context("spawn")) as pool:
        rows = pool.map(_decode_row, jobs, chunksize=8) if workers > 1 else map(_decode_row, jobs)
        for index, row in enumerate(rows):
            for name, value in row.items():
                arrays[name][index] = value
            bar.update()
    for array in arrays.values():
        array.flush()


def load_dataset(root: Path, preset: WeldPreset, cache: Path, workers: int = 2) -> WeldDataset:
    """Decode every run under `root` for a preset, or take what an earlier call left in `cache`.

    raises FileNotFoundError without runs, ValueError where a modality of the whole root cannot be read
    """
    runs = find_runs(root)
    folder = cache / f"{preset.name}-{cache_key(root, runs, preset)}"
    if not (folder / "complete.json").is_file():
        shutil.rmtree(folder, ignore_errors=True)  # what an interrupted decoding left
        folder.mkdir(parents=True)
        _decode_all(runs, preset, folder, workers)
        (folder / "complete.json").write_text(json.dumps({"runs": len(runs)}) + "\n", encoding="utf-8")
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _shapes(preset)}
    statuses = np.array(arrays.pop("statuses"))
    usable = (statuses == Status.OK) | (statuses == Status.PARTIAL)
    valid = {name: usable[:, index : index + 1] for index, name in enumerate(MODALITIES)}
    valid["image"] = np.array(arrays.pop("image_valid"))
    for index, name in enumerate(MODALITIES):
        if (statuses[:, index] == Status.CORRUPT).all():
            raise ValueError(f"{root}: expected readable {name} files, all {len(runs)} are corrupt; check their format")
    return WeldDataset(tuple(runs), arrays, valid, statuses)
