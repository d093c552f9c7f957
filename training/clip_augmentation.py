"""What a clip's quality survives: mirrors, turns, other places of the patches, other colours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from multimodal.quality_presets import FRAMES, PATCH_PX, Sampling

Pixels = NDArray[np.uint8]


class ClipAugmentation:
    """Random views of the same quality, drawn from one generator.

    Compression and blur know no left, right or colour, and rows and columns of blocks are alike. Sizes,
    contrast and brightness stay: the damage would change with them.
    """

    def __init__(self, sampling: Sampling, generator: np.random.Generator) -> None:
        self.sampling = sampling
        self.generator = generator

    def __call__(self, view: str, pixels: Pixels) -> Pixels:
        """The same clips, altered alike in all their frames: (batch, frames, height, width, 3).

        view: "spatial" (mosaics of patches, which change places too) or "temporal" (whole frames)
        """
        altered = [self._one(view, clip) for clip in pixels]
        return np.ascontiguousarray(np.stack(altered))

    def _one(self, view: str, clip: Pixels) -> Pixels:
        generator = self.generator
        if view == "spatial":
            clip = self._other_places(clip)
        if generator.random() < 0.5:
            clip = clip[:, :, ::-1]
        if generator.random() < 0.5:
            clip = clip[:, ::-1]
        if generator.random() < 0.5:
            clip = clip.swapaxes(1, 2)
        return clip[..., generator.permutation(3)]

    def _other_places(self, clip: Pixels) -> Pixels:
        """Patches of a mosaic in another order, the same in all frames."""
        frames, side = clip.shape[0], clip.shape[1] // PATCH_PX
        cut = clip.reshape(frames, side, PATCH_PX, side, PATCH_PX, 3).swapaxes(2, 3)
        patches = cut.reshape(frames, side * side, PATCH_PX, PATCH_PX, 3)
        patches = patches[:, self.generator.permutation(side * side)]
        placed = patches.reshape(frames, side, side, PATCH_PX, PATCH_PX, 3).swapaxes(2, 3)
        return placed.reshape(clip.shape)

    def moments(self, pixels: Pixels, count: int) -> tuple[NDArray[np.int64], Pixels]:
        """Some moments of each clip, in order.

        pixels:  (batch, 8 * frames of a moment, height, width, 3)
        returns: which, (batch, count), and all their frames, (batch, count * frames of a moment, ...)
        """
        order = self.generator.permuted(np.tile(np.arange(FRAMES), (len(pixels), 1)), axis=1)
        chosen = np.sort(order[:, :count], axis=1)
        burst = pixels.shape[1] // FRAMES
        frames = (chosen[:, :, None] * burst + np.arange(burst)).reshape(len(pixels), -1)
        return chosen, pixels[np.arange(len(pixels))[:, None], frames]
