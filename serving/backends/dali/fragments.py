"""Fragments: patches of a frame at its own resolution, where noise, blocks and blur are still visible.

One patch in each cell of a grid, in every moment at another place of its cell: eight moments look at eight
times the places. Sources: Wu et al., FAST-VQA: Efficient End-to-end Video Quality Assessment with Fragment
Sampling (2022); the places are those of Halton (Numerische Mathematik 2, 1960), in bases 2 and 3.
"""

from __future__ import annotations

import numpy as np

from .contract import PATCH_PX


def scaled_up(height: int, width: int) -> tuple[int, int]:
    """The (height, width) at which a frame has room for a patch, its aspect kept; unchanged when it has."""
    shorter = min(height, width)
    if shorter >= PATCH_PX:
        return height, width
    return int(height * PATCH_PX / shorter + 0.5), int(width * PATCH_PX / shorter + 0.5)


def mosaic(picture: np.ndarray, size_px: int, moment: int) -> np.ndarray:
    """Cut the patches of one moment and lay them side by side: a copy of (size_px, size_px, 3).

    picture: (height, width, 3) uint8, both at least a patch; moment: from 0
    """
    grid = size_px // PATCH_PX
    tops, lefts = (
        _starts(side, grid, *radical_inverse(moment + 1, base))
        for side, base in zip(picture.shape[:2], (2, 3), strict=True)
    )
    inside = np.arange(PATCH_PX)
    rows, columns = ((starts[:, None] + inside).ravel() for starts in (tops, lefts))
    return picture[rows[:, None], columns]


def _starts(side: int, grid: int, above: int, below: int) -> np.ndarray:
    """(grid,) first pixels of the patches along one side, `above / below` into each cell."""
    return (np.arange(grid) * below + above) * (side - PATCH_PX + 1) // (grid * below)


def radical_inverse(number: int, base: int) -> tuple[int, int]:
    """A number's digits behind the point, in reverse: 1/2, 1/4, 3/4, 1/8 for 1, 2, 3, 4 in base 2."""
    above, below = 0, 1
    while number:
        number, digit = divmod(number, base)
        above, below = above * base + digit, below * base
    return above, below
