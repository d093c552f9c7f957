"""Pictures to learn from: every shape of the training split in any colour, at any place, on any light ground.

4,000 pictures are few for a transformer. What is drawn on them is one shape in one colour on one ground, so
its coverage can be painted anew: as many pictures as one likes, and what each shows is known exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.easy_vqa import EasyVqa
from training.easy_vqa_captions import (
    COLOURS,
    PLACES,
    WORDINGS,
    Depicted,
    cells_of,
    describe_all,
)

LIGHTEST, DARKEST = 255, 226  # of the grounds that the set has
NOISE_LEVELS = 2  # a decoder or a resizer that rounds otherwise must not change an answer


@dataclass(frozen=True)
class Scene:
    """What a picture shows, in words."""

    shape: str
    colour: str
    size: str
    place: str

    @property
    def words(self) -> dict[str, str]:
        """By the names that WORDINGS fill in."""
        return {"shape": self.shape, "colour": self.colour, "size": self.size, "place": self.place}

    @property
    def captions(self) -> tuple[str, ...]:
        """The scene in every wording; the first says everything."""
        return tuple(wording.format(**self.words) for wording in WORDINGS)


@dataclass(frozen=True)
class Painted:
    """A batch of pictures.

    pixels: (batch, 64, 64, 3) uint8 RGB; cells: (batch, grid, grid) bool, those that hold some of the shape
    """

    pixels: NDArray[np.uint8]
    scenes: tuple[Scene, ...]
    cells: NDArray[np.bool_]


def scene_of(depicted: Depicted) -> Scene:
    """The words of a measured picture."""
    return Scene(depicted.shape, depicted.colour, depicted.size, depicted.place)


class Painter:
    """Draws batches from pictures of easy-VQA; some stay as they are.

    as_shipped: share of pictures that are neither moved nor painted anew
    """

    def __init__(self, data: EasyVqa, grid: int, as_shipped: float = 0.2) -> None:
        self.images, self.grid, self.as_shipped = data.images, grid, as_shipped
        self.scenes = tuple(map(scene_of, describe_all(data.images)))
        painted = np.array([COLOURS[scene.colour] for scene in self.scenes], np.float32)
        self.coverage = coverage_of(data.images, painted)

    def __len__(self) -> int:
        return len(self.images)

    def plain(self, rows: Sequence[int]) -> Painted:
        """These pictures as they are shipped."""
        cells = np.stack([cells_of(self.coverage[row] >= 0.5, self.grid) for row in rows])
        return Painted(self.images[list(rows)], tuple(self.scenes[row] for row in rows), cells)

    def draw(self, rng: np.random.Generator, batch: int) -> Painted:
        """Some pictures, painted anew."""
        drawn = [self._one(rng, int(row)) for row in rng.integers(len(self), size=batch)]
        pixels = np.stack([pixels for pixels, _, _ in drawn]).astype(np.int16)
        pixels += rng.integers(-NOISE_LEVELS, NOISE_LEVELS + 1, pixels.shape, np.int16)
        return Painted(
            np.clip(pixels, 0, 255).astype(np.uint8),
            tuple(scene for _, scene, _ in drawn),
            np.stack([cells for _, _, cells in drawn]),
        )

    def _one(self, rng: np.random.Generator, row: int) -> tuple[NDArray[np.uint8], Scene, NDArray[np.bool_]]:
        coverage, scene = self.coverage[row], self.scenes[row]
        if rng.random() < self.as_shipped:
            return self.images[row], scene, cells_of(coverage >= 0.5, self.grid)
        coverage = moved(rng, coverage[:, ::-1] if rng.random() < 0.5 else coverage)
        colour = str(rng.choice(list(COLOURS)))
        ground = rng.integers(DARKEST, LIGHTEST + 1, 3)
        share = coverage[..., None]
        pixels = share * np.array(COLOURS[colour]) + (1 - share) * ground
        scene = Scene(scene.shape, colour, scene.size, place_of(coverage))
        return pixels.round().astype(np.uint8), scene, cells_of(coverage >= 0.5, self.grid)


def coverage_of(images: NDArray[np.uint8], colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each pixel's share of the shape, (pictures, height, width) in 0..1.

    colours: (pictures, 3) of the shapes. The ground is the colour of the corner that is farthest from it: no
    shape covers all four.
    """
    corners = images[:, [0, 0, -1, -1], [0, -1, 0, -1]].astype(np.float32)  # (pictures, 4, 3)
    far = np.linalg.norm(corners - colours[:, None], axis=2).argmax(axis=1)
    ground = corners[np.arange(len(images)), far]
    line = colours - ground
    along = np.einsum("nhwc,nc->nhw", images - ground[:, None, None], line)
    return np.clip(along / (line**2).sum(axis=1)[:, None, None], 0, 1)


def moved(rng: np.random.Generator, coverage: NDArray[np.float32]) -> NDArray[np.float32]:
    """The shape at another place, as whole as it was; along an axis where an edge cuts it, it stays."""
    shifts = []
    for axis in (0, 1):
        there = np.flatnonzero(coverage.max(axis=1 - axis) > 0.02)
        first, last, size = int(there[0]), int(there[-1]), coverage.shape[axis]
        cut = first == 0 or last == size - 1
        shifts.append(0 if cut else int(rng.integers(-first, size - last)))
    return np.roll(coverage, shifts, (0, 1))


def place_of(coverage: NDArray[np.float32]) -> str:
    """Which ninth of the picture holds the centre of mass, as captions name it."""
    height, width = coverage.shape
    area = coverage.sum()
    row = (coverage.sum(axis=1) * (np.arange(height) + 0.5)).sum() / area / height
    column = (coverage.sum(axis=0) * (np.arange(width) + 0.5)).sum() / area / width
    return PLACES[int(3 * row)][int(3 * column)]
