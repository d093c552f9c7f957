"""Decode clips with known quality once, keep the tensors on disk, hand out torch batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multimodal.quality_presets import VideoQualityPreset
from training.clip_cache import clip_plan
from training.clip_folder import Clip, find_clips, scores_of, split_rows
from training.decoded_cache import open_cache
from training.decoding import Status


@dataclass(frozen=True)
class ClipDataset:
    """Decoded clips, memory-mapped.

    arrays:       video_frames (clips, 8 * burst, size, size, 3) uint8, video_fragments (clips, 8, px, px, 3)
                  uint8 where the preset looks at them
    frame_scores: (clips, 8, burst) float32: of each frame of each moment, the clip's where frames have none
    """

    clips: tuple[Clip, ...]
    arrays: dict[str, NDArray[np.generic]]
    frame_scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.clips)

    @cached_property
    def scores(self) -> NDArray[np.float32]:
        """(clips,) scores, 0-100."""
        return scores_of(list(self.clips)).astype(np.float32)

    @cached_property
    def moment_scores(self) -> NDArray[np.float32]:
        """(clips, 8) scores of the moments: the mean over their frames."""
        return self.frame_scores.mean(axis=2)

    @cached_property
    def splits(self) -> dict[str, list[int]]:
        """Split -> rows; no content lies in two of them."""
        return split_rows(list(self.clips))

    def views(self, rows: Sequence[int] | NDArray[np.int64]) -> dict[str, Tensor]:
        """Copy rows into torch as they are served: uint8 (rows, ...)."""
        chosen = np.asarray(rows, np.int64)
        return {name: torch.from_numpy(np.asarray(array[chosen])) for name, array in self.arrays.items()}


def load_clips(root: Path, preset: VideoQualityPreset, cache: Path, workers: int = 2) -> ClipDataset:
    """Decode every clip under `root` for a preset, or take what an earlier call left in `cache`.

    raises: FileNotFoundError without clips, ValueError where too many of them cannot be decoded
    """
    clips = find_clips(root)
    arrays = open_cache(clip_plan(root, clips, preset), cache, workers)
    statuses = np.asarray(arrays.pop("status"))[:, 0]
    usable = np.isin(statuses, (Status.OK, Status.PARTIAL))
    if usable.mean() < 0.9:
        lost = len(clips) - int(usable.sum())
        raise ValueError(f"{root}: expected videos that decode, got {lost} of {len(clips)} that do not")
    numbers = np.asarray(arrays.pop("numbers"), np.int64)
    if usable.all():
        return ClipDataset(tuple(clips), arrays, _frame_scores(clips, numbers, preset.sampling.burst))
    rows = np.flatnonzero(usable)
    kept = [clips[row] for row in rows]
    chosen: dict[str, NDArray[np.generic]] = {name: array[rows] for name, array in arrays.items()}
    return ClipDataset(tuple(kept), chosen, _frame_scores(kept, numbers[rows], preset.sampling.burst))


def _frame_scores(clips: Sequence[Clip], numbers: NDArray[np.int64], burst: int) -> NDArray[np.float32]:
    """(clips, moments, burst): of every frame where frames have a score, else that of the clip."""
    scores = np.empty((*numbers.shape, burst), np.float32)
    scores[:] = np.array([clip.score for clip in clips], np.float32)[:, None, None]
    for row, clip in enumerate(clips):
        if clip.frame_scores is not None:
            of_frames = np.load(clip.frame_scores, allow_pickle=False)
            frames = numbers[row][:, None] + np.arange(burst)
            scores[row] = of_frames[np.minimum(frames, len(of_frames) - 1)]
    return scores
