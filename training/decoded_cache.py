"""Decoded weld runs on disk: one .npy per tensor, one row per run, in a folder named after its sources.

No torch here: the worker processes import this module, and torch would cost each of them seconds.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from multimodal.presets import WeldPreset
from multimodal.weld_classes import MODALITIES
from training import decoding
from training.decoding import DecodedWeld, decode_run
from training.weld_folder import WeldRun

PCM = 32767.0  # sound is kept as 16-bit integers, as the recordings are: half the space


def cache_key(root: Path, runs: Sequence[WeldRun], preset: WeldPreset) -> str:
    """Digest of what the decoded tensors depend on: the preset, the root's files, the decoder's code."""
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
        "audio": np.round(decoded.raw["audio"].astype(np.float64) * PCM).astype(np.int16),
        "image_valid": decoded.valid["image"],
        "statuses": np.asarray([decoded.statuses[name] for name in MODALITIES], np.int32),
    }


def _decode_row(job: tuple[WeldRun, WeldPreset]) -> dict[str, NDArray[np.generic]]:
    return _row(decode_run(*job))


def _decoded_rows(
    jobs: list[tuple[WeldRun, WeldPreset]], workers: int
) -> Iterator[dict[str, NDArray[np.generic]]]:
    """Rows in the order of the jobs."""
    if workers <= 1:
        yield from map(_decode_row, jobs)
        return
    # spawn: the caller may have started torch's threads, which a fork would break
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_decode_row, jobs, chunksize=8)


def _decode_all(runs: Sequence[WeldRun], preset: WeldPreset, folder: Path, workers: int) -> None:
    """Fill `folder` with one .npy per tensor, one row per run."""
    arrays = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (len(runs), *shape))
        for name, (shape, dtype) in _shapes(preset).items()
    }
    jobs = [(run, preset) for run in runs]
    with tqdm(total=len(runs), desc=f"decode for {preset.name}", unit="run") as bar:
        for index, row in enumerate(_decoded_rows(jobs, workers)):
            for name, value in row.items():
                arrays[name][index] = value
            bar.update()
    for array in arrays.values():
        array.flush()


def open_cache(
    root: Path, runs: Sequence[WeldRun], preset: WeldPreset, cache: Path, workers: int
) -> dict[str, NDArray[np.generic]]:
    """Memory-map the decoded tensors of `runs`, decoding them first where `cache` does not have them yet.

    returns name -> (runs, ...): video, image, audio (int16), audio_samples, sensor, image_valid, statuses
    """
    folder = cache / f"{preset.name}-{cache_key(root, runs, preset)}"
    if not (folder / "complete.json").is_file():
        shutil.rmtree(folder, ignore_errors=True)  # what an interrupted decoding left
        folder.mkdir(parents=True)
        _decode_all(runs, preset, folder, workers)
        (folder / "complete.json").write_text(json.dumps({"runs": len(runs)}) + "\n", encoding="utf-8")
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _shapes(preset)}
