"""Fragments: patches of a frame at its own resolution, where noise, blocks and blur are still visible.

Source: Wu et al., FAST-VQA: Efficient End-to-end Video Quality Assessment with Fragment Sampling (2022)
"""

from __future__ import annotations

import numpy as np

from .contract import PATCH_PX, evenly


def scaled_up(height: int, width: int) -> tuple[int, int]:
    """The (height, width) at which a frame has room for a patch, its aspect kept; unchanged when it has."""
    shorter = min(height, width)
    if shorter >= PATCH_PX:
        return height, width
    return int(height * PATCH_PX / shorter + 0.5), int(width * PATCH_PX / shorter + 0.5)


def mosaic(picture: np.ndarray, size_px: int) -> np.ndarray:
    """Cut evenly spaced patches and lay them side by side: a copy of (size_px, size_px, 3).

    picture: (height, width, 3) uint8, both at least a patch
    """
    grid = size_px // PATCH_PX
    tops, lefts = (_starts(side, grid) for side in picture.shape[:2])
    inside = np.arange(PATCH_PX)
    rows, columns = ((starts[:, None] + inside).ravel() for starts in (tops, lefts))
    return picture[rows[:, None], columns]


def _starts(side: int, grid: int) -> np.ndarray:
    """(grid,) first pixels of the patches along one side; a single one lies in the middle."""
    return np.array([(side - PATCH_PX) // 2]) if grid == 1 else evenly(side - PATCH_PX + 1, grid)
