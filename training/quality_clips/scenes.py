"""Procedural sources: a camera over a photo, and dead leaves, statistically natural pictures.

Source of the second: Lee, Mumford, Huang, "Occlusion models for natural images" (IJCV 2001): opaque discs
with radii distributed as r^-3 give edges at every scale, as photographs have.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Film = NDArray[np.uint8]  # (frames, height, width, 3) RGB

FRAMES = 32
CANVAS = (640, 480)  # width, height of a dead-leaves picture
SIZES = ((384, 216), (320, 240), (480, 270), (240, 320), (352, 288))  # of clips, width and height
LEAVES = (120, 1_400)  # fewest and most discs of a picture: from open sky to undergrowth
SMALLEST, LARGEST = 3.0, 160.0  # radii in pixels


def fly_over(picture: NDArray[np.uint8], size: tuple[int, int], rng: np.random.Generator) -> Film:
    """Move a window over a picture (height, width, 3): drift, zoom, a little rotation, now and then a stop.

    size: width and height of the film; the window never leaves the picture, which is enlarged where too small
    """
    height, width = picture.shape[:2]
    zoom = max(1.0, 1.35 * size[0] / width, 1.35 * size[1] / height)
    first = max(1.0, zoom) * rng.uniform(1.0, 1.1)
    scales = np.linspace(first, first * rng.uniform(0.93, 1.2), FRAMES)
    angles = np.linspace(0, rng.uniform(-6, 6), FRAMES)
    steps = _walk(rng)
    frames = []
    for scale, angle, step in zip(scales, angles, steps, strict=True):
        reach = np.array([width * scale - size[0], height * scale - size[1]]) * 0.38
        centre = np.array([width, height]) * scale / 2 + np.clip(step, -1, 1) * np.maximum(reach, 0)
        matrix = np.array(cv2.getRotationMatrix2D((0, 0), float(angle), float(scale)), np.float64)
        matrix[:, 2] += np.array(size) / 2 - matrix[:, :2] @ (centre / scale)
        frame = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        frames.append(frame)
    return np.stack(frames)


def _walk(rng: np.random.Generator) -> NDArray[np.float64]:
    """Where the camera looks, (FRAMES, 2) in -1..1: from standing still to a thirtieth of the way a frame."""
    speed = rng.choice([0.0, 0.006, 0.015, 0.03]) * rng.uniform(0.7, 1.3)
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.12, FRAMES))
    return rng.uniform(-0.3, 0.3, 2) + np.cumsum(
        speed * np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0
    )


def dead_leaves(rng: np.random.Generator) -> NDArray[np.uint8]:
    """One picture of CANVAS size, (height, width, 3): discs over discs, each with a grain of its own."""
    width, height = CANVAS
    palette = _palette(rng)
    picture = _sky(palette, height, width)
    leaves = int(np.exp(rng.uniform(*np.log(LEAVES))))
    share = rng.random(leaves)  # inverse of the cumulative r^-3 law between the two radii
    radii = (SMALLEST**-2 - share * (SMALLEST**-2 - LARGEST**-2)) ** -0.5
    for radius in radii:
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        colour = palette[rng.integers(len(palette))] * rng.uniform(0.7, 1.3)
        axes = (max(1, int(radius)), max(1, int(radius * rng.uniform(0.3, 1.0))))
        turn = float(rng.uniform(0, 180))
        cv2.ellipse(picture, centre, axes, turn, 0, 360, colour.tolist(), -1, cv2.LINE_AA)
    picture = _with_depth(picture, rng)
    picture *= 1 + _grain(rng, height, width)[..., None] * rng.uniform(0.0, 0.25)
    lens = np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 0.8)))  # as sharp as a lens
    return np.clip(lens, 0, 255).astype(np.uint8)


def _sky(palette: NDArray[np.float64], height: int, width: int) -> NDArray[np.float32]:
    """Ground for the discs, (height, width, 3): one colour that becomes another from top to bottom."""
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    shades = palette[0] * (1 - down) + palette[1] * down
    return np.ascontiguousarray(np.broadcast_to(shades, (height, width, 3)), np.float32)


def _with_depth(picture: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """The same picture, in two of three cases with a part that is out of focus, as behind a near object."""
    if rng.random() < 1 / 3:
        return picture
    height, width = picture.shape[:2]
    soft = cv2.GaussianBlur(picture, (0, 0), rng.uniform(3, 9))
    sharp = cv2.GaussianBlur(
        (_grain(rng, height, width) > rng.uniform(-1, 0.5)).astype(np.float32), (0, 0), 12
    )
    cover = np.asarray(sharp, np.float32)[..., None]
    return np.asarray(picture * cover + np.asarray(soft, np.float32) * (1 - cover), np.float32)


def _palette(rng: np.random.Generator) -> NDArray[np.float64]:
    """A dozen colours (colours, 3) around three themes, as pictures of one place have."""
    themes = rng.uniform(25, 225, (3, 3))
    return np.clip(themes[rng.integers(0, 3, 12)] + rng.normal(0, 32, (12, 3)), 4, 250)


def _grain(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """Noise with a spectrum of 1/f, (height, width), mean 0, deviation 1."""
    spectrum = np.fft.rfft2(rng.standard_normal((height, width)))
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    frequency = np.maximum(np.hypot(rows, columns), 1.0 / max(height, width))
    noise = np.fft.irfft2(spectrum / frequency, s=(height, width))
    return np.asarray((noise - noise.mean()) / noise.std(), np.float32)


def graded(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The same picture as another photographer had taken it, and as good: (height, width, 3).

    Darker or lighter, flatter or harder, paler, a part of it out of focus: a good source may be all of that,
    and a network that has seen only crisp and bright ones takes it for damage.
    """
    shown = _with_depth(picture.astype(np.float32), rng) / 255.0
    shown = np.clip(shown, 0, 1) ** rng.uniform(0.6, 2.2)
    grey = shown.mean(axis=2, keepdims=True)
    shown = grey + (shown - grey) * rng.uniform(0.2, 1.0)
    low = rng.uniform(0.0, 0.15)
    shown = low + shown * (rng.uniform(0.6, 1.0) - low)
    return np.clip(shown * 255.0, 0, 255).astype(np.uint8)


def with_passers_by(film: Film, rng: np.random.Generator) -> Film:
    """The same film with two to four textured discs that cross it at speeds of their own."""
    frames, height, width = film.shape[:3]
    crossed = film.copy()
    texture = dead_leaves(rng)
    for _ in range(int(rng.integers(2, 5))):
        radius = int(rng.uniform(0.06, 0.16) * min(height, width))
        place = rng.uniform(0, 1, 2) * (width, height)
        speed = rng.uniform(-5, 5, 2)
        top, left = rng.integers(0, 300, 2)
        patch = texture[top : top + 2 * radius + 1, left : left + 2 * radius + 1].astype(np.float32)
        distance = np.hypot(*np.mgrid[-radius : radius + 1, -radius : radius + 1])
        cover = np.clip(radius - distance, 0, 1)[..., None].astype(np.float32)
        for index in range(frames):
            _paste(crossed[index], patch, cover, place + index * speed)
    return crossed


def _paste(frame: NDArray[np.uint8], patch: NDArray, cover: NDArray, centre: NDArray[np.float64]) -> None:
    """Blend a patch into a frame, in place; what lies outside the frame is cut off."""
    radius = patch.shape[0] // 2
    left, top = np.round(centre).astype(int) - radius
    rows = slice(max(0, top), min(frame.shape[0], top + patch.shape[0]))
    columns = slice(max(0, left), min(frame.shape[1], left + patch.shape[1]))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    inner = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    mixed = frame[rows, columns] * (1 - cover[inner]) + patch[inner] * cover[inner]
    frame[rows, columns] = mixed.astype(np.uint8)
