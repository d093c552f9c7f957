"""A map of relevance as a glow over a darkened image, smooth and with its scale.

Lightness carries it, which only grows from least to most: it reads alike with any kind of colour vision, in
print, and over an image of any colours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from ._panels import FAINT, PAPER

GLOW = colormaps["inferno"]
GREY = (0.299, 0.587, 0.114)  # luma of R, G, B; source: ITU-R BT.601
FADED = 0.5  # towards grey: the glow's colours stand out, and shapes of equal lightness stay apart
DARKENED = 0.42  # of the image's own lightness, so that the glow is the brightest thing
DRAWN_PX = 512  # of the longer side: smooth on the panel
OUTLINED = 0.5  # of the peak

Map = NDArray[np.float64]


def smooth(relevance: NDArray[Any], height: int, width: int) -> Map:
    """The map (rows, columns) as shares of its peak at (height, width), bicubic, each part in its place.

    returns: 0 to 1 with a maximum of 1; zeros where nothing is relevant
    """
    parts = Image.fromarray(np.ascontiguousarray(relevance, np.float32))
    fine = np.asarray(parts.resize((width, height), Image.Resampling.BICUBIC), np.float64).clip(0.0)
    peak = float(fine.max())
    return np.asarray(fine / peak if peak > 0 else fine, np.float64)


def glowing(pixels: NDArray[np.uint8], shares: Map) -> Map:
    """Pixels (height, width, 3) of uint8 and shares (height, width) -> RGB 0 to 1 of the same size."""
    colours: Map = pixels.astype(np.float64) / 255.0
    grey = (colours @ np.array(GREY))[..., None]
    return blended(DARKENED * (colours + FADED * (grey - colours)), shares)


def blended(under: Map, shares: Map) -> Map:
    """The glow added to colours (..., 3) or greys (..., 1), so that more relevance is never darker."""
    glow = np.asarray(GLOW(shares), np.float64)[..., :3]
    return 1.0 - (1.0 - under) * (1.0 - glow)


def enlarged(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image at DRAWN_PX of its longer side, if it is smaller."""
    scale = DRAWN_PX / max(pixels.shape[:2])
    if scale <= 1:
        return pixels
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def show_heat(axes: Axes, pixels: NDArray[np.uint8], relevance: NDArray[Any]) -> None:
    """The image under its map, and a line around what has at least half of the peak."""
    high, wide = pixels.shape[:2]
    large = enlarged(pixels)
    shares = smooth(relevance, *large.shape[:2])
    axes.imshow(glowing(large, shares), extent=(0, wide, high, 0), aspect="auto")
    outline(axes, shares, (high, wide), PAPER)


def outline(axes: Axes, shares: Map, size: tuple[int, int], colour: str) -> None:
    """A line around what has at least half of the peak; size: (height, width) that the axes count in."""
    if shares.max() <= OUTLINED or shares.min() >= OUTLINED:
        return
    rows, columns = shares.shape
    down, across = (np.arange(rows) + 0.5) / rows * size[0], (np.arange(columns) + 0.5) / columns * size[1]
    axes.contour(across, down, shares, levels=[OUTLINED], colors=[colour], linewidths=1.6, linestyles="--")


def draw_scale(figure: Figure, axes: Axes) -> None:
    """The colours over a grey of middle lightness, and what they mean."""
    shares = np.linspace(0.0, 1.0, 256)
    colours = ListedColormap(blended(np.full((256, 1), DARKENED / 2), shares))
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), colours), cax=axes, orientation="horizontal")
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.set_ticks([0.0, OUTLINED, 1.0], labels=["nothing", "half, outlined", "peak"])
    axes.tick_params(labelsize=9, colors=FAINT, length=3)
    axes.set_xlabel("relevance to the question, in shares of its peak", fontsize=9.5, color=FAINT)
