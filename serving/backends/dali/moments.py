"""Which frames of a video are looked at: evenly spaced moments, and a burst of frames from each moment on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .contract import evenly


@dataclass(frozen=True)
class Sampling:
    """What one model takes of a video.

    moments:      evenly spaced from the first frame to the last
    size_px:      whole frames, stretched to squares of this size
    burst:        frames taken from each moment on, one after another
    fragments_px: squares cut together of patches of the first frame of each moment; 0 for none
    """

    moments: int
    size_px: int
    burst: int = 1
    fragments_px: int = 0

    def choose(self, count: int) -> Chosen:
        """The frames to take of a video of `count` frames; of a short one they repeat."""
        starts = evenly(max(count - self.burst + 1, 1), self.moments)
        rows = np.minimum(starts[:, None] + np.arange(self.burst), max(count - 1, 0)).ravel()
        return Chosen(self, starts, rows)


@dataclass(frozen=True)
class Chosen:
    """Frames of one video, by number.

    starts: (moments,) the first frame of each moment
    rows:   (moments * burst,) every frame to take, moment by moment
    """

    sampling: Sampling
    starts: np.ndarray
    rows: np.ndarray
