"""How decoded clips are kept on disk; no torch here, for the processes that decode import this module."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from multimodal.quality_presets import FRAMES, Sampling, VideoQualityPreset
from training import clip_decoding
from training.clip_decoding import decode_clip
from training.clip_folder import Clip
from training.decoded_cache import Plan, digest_of


def clip_plan(root: Path, clips: Sequence[Clip], preset: VideoQualityPreset) -> Plan:
    """Rows of video_frames, video_fragments where the preset has them, numbers and status."""
    sampling = preset.sampling
    size, mosaic = sampling.size_px, sampling.fragments_px
    shapes: dict[str, tuple[tuple[int, ...], type]] = {
        "video_frames": ((FRAMES * sampling.burst, size, size, 3), np.uint8),
        "numbers": ((FRAMES,), np.int32),
        "status": ((1,), np.int32),
    }
    if mosaic:
        shapes["video_fragments"] = ((FRAMES, mosaic, mosaic, 3), np.uint8)
    key = digest_of(sampling, clip_decoding, root, [clip.path for clip in clips])
    return Plan(preset.name, shapes, [(clip.path, sampling) for clip in clips], _decode_row, key)


def _decode_row(job: tuple[Path, Sampling]) -> dict[str, NDArray[np.generic]]:
    path, sampling = job
    decoded = decode_clip(path.read_bytes(), sampling)
    row: dict[str, NDArray[np.generic]] = {
        "video_frames": decoded.frames,
        "numbers": decoded.numbers,
        "status": np.asarray([decoded.status], np.int32),
    }
    return row if decoded.fragments is None else row | {"video_fragments": decoded.fragments}
