"""How decoded weld runs are kept on disk; no torch here, for the processes that decode import this module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from multimodal.presets import WeldPreset
from multimodal.weld_classes import MODALITIES
from training import decoding
from training.decoded_cache import Plan, digest_of
from training.decoding import decode_run
from training.weld_folder import WeldRun

PCM = 32767.0  # sound is kept as 16-bit integers, as the recordings are: half the space


def weld_plan(root: Path, runs: Sequence[WeldRun], preset: WeldPreset) -> Plan:
    """Rows of video, image, audio (int16), audio_samples, sensor, image_valid and statuses."""
    files = [path for run in runs for path in (run.video, *run.photos, run.audio, run.sensor)]
    key = digest_of(replace(preset, name=""), decoding, root, files)
    return Plan(preset.name, _shapes(preset), [(run, preset) for run in runs], _decode_row, key)


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


def _decode_row(job: tuple[WeldRun, WeldPreset]) -> dict[str, NDArray[np.generic]]:
    decoded = decode_run(*job)
    return decoded.raw | {
        "audio": np.round(decoded.raw["audio"].astype(np.float64) * PCM).astype(np.int16),
        "image_valid": decoded.valid["image"],
        "statuses": np.asarray([decoded.statuses[name] for name in MODALITIES], np.int32),
    }
