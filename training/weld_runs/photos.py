"""Five photos of the finished bead, taken one after another along the seam."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.weld_runs.session import Session
from training.weld_runs.signatures import Evidence

COUNT = 5
HEIGHT, WIDTH = 225, 500
_BEAD_HALF_WIDTH = 27.0  # pixels
_LINES, _COLUMNS = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)


@dataclass(frozen=True)
class _View:
    """Where one photo looks: the place of every pixel relative to the bead.

    across: (HEIGHT, WIDTH) distance from the middle line in half widths, negative above
    along:  (HEIGHT, WIDTH) pixels along the seam, counted from the seam's start
    """

    across: NDArray[np.float32]
    along: NDArray[np.float32]
    half_width: float


def _view(index: int, session: Session, evidence: Evidence, rng: np.random.Generator) -> _View:
    tilt = rng.normal(0, 0.03)
    middle = HEIGHT * (0.5 + rng.uniform(-0.07, 0.07)) + tilt * (_COLUMNS - WIDTH / 2)
    share = _COLUMNS / WIDTH - 0.5
    bow = 62.0 * evidence.of("curve") + rng.normal(0, 3)
    middle = middle + bow * (4 * share**2 - 0.4)
    half_width = _BEAD_HALF_WIDTH * session.zoom * float(rng.normal(1, 0.05))
    wobble = np.sin(_COLUMNS / rng.uniform(17, 30) + rng.uniform(0, 6.28)) * rng.uniform(0.01, 0.04)
    across = (_LINES - middle) / (half_width * (1 + wobble))
    return _View(across.astype(np.float32), _COLUMNS + index * 420.0, half_width)


def _grain(rng: np.random.Generator) -> NDArray[np.float32]:
    """Brushed metal, (HEIGHT, WIDTH) around 0: noise smeared along the rolling direction."""
    coarse = rng.standard_normal((HEIGHT, WIDTH // 20 + 1), dtype=np.float32)
    smeared = np.repeat(coarse, 20, axis=1)[:, :WIDTH]
    return 0.6 * smeared + 0.5 * rng.standard_normal((HEIGHT, WIDTH), dtype=np.float32)


def _plate(session: Session, view: _View, rng: np.random.Generator) -> NDArray[np.float32]:
    """Lit plate with heat tint beside the bead, (HEIGHT, WIDTH, 3)."""
    light = (
        1
        + rng.uniform(-0.3, 0.3) * (_COLUMNS / WIDTH - 0.5)
        + rng.uniform(-0.25, 0.25) * (_LINES / HEIGHT - 0.5)
    )
    grey = light * (1 + 0.05 * session.grain * _grain(rng))
    plate = grey[..., None] * np.asarray(session.plate_rgb, np.float32)
    distance = np.abs(view.across)
    brown = np.exp(-(((distance - 1.5) / 0.35) ** 2))[..., None]
    blue = np.exp(-(((distance - 2.1) / 0.30) ** 2))[..., None]
    strength = rng.uniform(0.4, 1.0)
    plate *= 1 - strength * brown * np.asarray((0.12, 0.22, 0.34), np.float32)
    plate *= 1 - strength * blue * np.asarray((0.24, 0.14, 0.02), np.float32)
    return plate


def _bead(
    view: _View, lip: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cover (HEIGHT, WIDTH) of the bead in 0-1 and its brightness: a lit half cylinder with chevron ripples.

    lip: how far metal has run over the lower edge, in 0.85 half widths
    """
    tongue = (
        0.85 * lip * (1 + 0.18 * np.sin(view.along / rng.uniform(14, 24)) + 0.1 * np.sin(view.along / 7.3))
    )
    below = np.where(view.across > 0, view.across / (1 + tongue), view.across)
    cover = np.clip((1 - np.abs(below)) * view.half_width / 2.5, 0, 1)
    lamp = rng.uniform(-0.5, 0.1)
    dome = 0.50 + 0.42 * np.exp(-(((below - lamp) / 0.42) ** 2)) - 0.16 * below
    pitch = rng.uniform(7.5, 10.5)
    ripple = np.cos(2 * np.pi * (view.along / pitch + 1.1 * below**2))
    return cover.astype(np.float32), (dome * (1 + 0.13 * ripple)).astype(np.float32)


def _darken_grooves(
    picture: NDArray[np.float32], view: _View, strength: float, rng: np.random.Generator
) -> None:
    """Undercut: a dark notch along both edges, broken here and there."""
    notch = np.exp(-(((np.abs(view.across) - 1.12) / 0.16) ** 2))
    broken = 0.8 + 0.2 * np.sin(view.along / rng.uniform(18, 40) + rng.uniform(0, 6.28))
    picture *= (1 - np.clip(0.85 * strength * notch * broken, 0, 0.93))[..., None]


def _sag(picture: NDArray[np.float32], view: _View, strength: float, rng: np.random.Generator) -> None:
    """A ragged hole that swallows the middle of the bead, with a bright rim."""
    x = WIDTH * rng.uniform(0.25, 0.75)
    radius = view.half_width * (0.30 + 0.72 * strength) * rng.uniform(0.9, 1.1)
    column = (_COLUMNS - x) / (1.35 * radius)
    line = (view.across - 0.15) * view.half_width / radius
    ragged = 1 + 0.10 * np.sin(3 * np.arctan2(line, column) + rng.uniform(0, 6.28))
    distance = np.sqrt(column**2 + line**2) * ragged
    rim = np.exp(-(((distance - 1.12) / 0.13) ** 2))
    hole = np.clip((1 - distance) * 6, 0, 1)
    shade = min(strength, 1.0)
    picture += (0.18 * shade * rim)[..., None]
    picture *= (1 - 0.92 * np.clip(1.6 * shade, 0, 1) * hole)[..., None]


def _scratch(picture: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Marks that mean nothing: a few dark scratches across the plate and specks of soot."""
    for _ in range(rng.poisson(1.2)):
        angle, x, y = rng.uniform(0, np.pi), rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT)
        distance = (_COLUMNS - x) * np.sin(angle) - (_LINES - y) * np.cos(angle)
        picture *= (1 - rng.uniform(0.1, 0.3) * np.exp(-((distance / 1.4) ** 2)))[..., None]
    for _ in range(rng.poisson(5)):
        x, y, radius = (
            int(rng.uniform(6, WIDTH - 6)),
            int(rng.uniform(6, HEIGHT - 6)),
            int(rng.integers(1, 5)),
        )
        picture[y - radius : y + radius, x - radius : x + radius] *= rng.uniform(0.55, 0.85)


def photograph_bead(
    session: Session, evidence: Evidence, rng: np.random.Generator
) -> list[NDArray[np.uint8]]:
    """Take COUNT photos, each (HEIGHT, WIDTH, 3) uint8.

    grooves: dark notches along both edges; lip: metal runs over the lower edge; curve: the bead is bowed;
    sag: a hole in the bead on three of the five photos
    """
    exposure, balance = rng.uniform(0.85, 1.15), rng.normal(1, 0.015, 3).astype(np.float32)
    holes = set(rng.permutation(COUNT)[:3].tolist())
    metal = np.asarray((0.86, 0.85, 0.84), np.float32)
    photos = []
    for index in range(COUNT):
        view = _view(index, session, evidence, rng)
        picture = _plate(session, view, rng)
        cover, bright = _bead(view, evidence.of("lip"), rng)
        picture += cover[..., None] * (bright[..., None] * metal - picture)
        if evidence.of("grooves"):
            _darken_grooves(picture, view, evidence.strength, rng)
        if evidence.of("sag") and index in holes:
            _sag(picture, view, evidence.strength, rng)
        _scratch(picture, rng)
        picture *= exposure * rng.uniform(0.92, 1.08) * balance
        photos.append((np.clip(picture, 0, 1) * 255).astype(np.uint8))
    return photos
