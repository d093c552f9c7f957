"""The welding camera: a dark picture, an arc, the pool it drags along the seam, sparks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.weld_runs.session import Session
from training.weld_runs.signatures import Evidence

FRAME_RATE = 15
HEIGHT, WIDTH = 96, 160  # rendered at half size and scaled up by the encoder: the scene is blurred anyway
_POOL_HALF_LENGTH, _POOL_HALF_WIDTH = 17.0, 10.0  # pixels of that half-size picture


def _path(session: Session, evidence: Evidence, frames: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Centre of the arc per frame, (frames, 2) as x, y in pixels; `drift` leaves the seam by 19 pixels."""
    share = np.linspace(0, 1, frames)
    x = WIDTH * (0.5 + session.camera_x + rng.uniform(0.26, 0.34) * (2 * share - 1))
    seam = HEIGHT * (0.5 + session.camera_y) + np.tan(session.tilt_rad) * (x - WIDTH / 2)
    away = rng.choice([-1.0, 1.0]) * (19.0 * evidence.of("drift") + rng.normal(0, 0.8)) * share**1.5
    jitter = rng.normal(0, 0.35, (2, frames))
    return np.stack([x + jitter[0], seam + away + jitter[1]], axis=1).astype(np.float32)


def _glow(path: NDArray[np.float32], sigma: tuple[float, float]) -> NDArray[np.float32]:
    """Axis-parallel Gaussian around the arc, (frames, HEIGHT, WIDTH): the outer product of two profiles."""
    x = np.exp(-(((np.arange(WIDTH, dtype=np.float32) - path[:, :1]) / sigma[0]) ** 2) / 2)
    y = np.exp(-(((np.arange(HEIGHT, dtype=np.float32) - path[:, 1:]) / sigma[1]) ** 2) / 2)
    return y[:, :, None] * x[:, None, :]


def _pool(path: NDArray[np.float32], size: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Soft-edged ellipse behind the arc, (frames, HEIGHT, WIDTH) in 0-1; its rim quivers."""
    frames = len(path)
    quiver = (1 + rng.normal(0, 0.025, (2, frames, 1))).astype(np.float32)
    half_length, half_width = _POOL_HALF_LENGTH * size, _POOL_HALF_WIDTH * size
    x = (np.arange(WIDTH, dtype=np.float32) - (path[:, :1] - 0.55 * half_length)) / (half_length * quiver[0])
    y = (np.arange(HEIGHT, dtype=np.float32) - path[:, 1:]) / (half_width * quiver[1])
    inside = 1 - (x**2)[:, None, :] - (y**2)[:, :, None]
    return np.clip(inside * 3, 0, 1)


def _trail(path: NDArray[np.float32], width: float) -> NDArray[np.float32]:
    """The bead behind the arc cools within about 40 pixels; (frames, HEIGHT, WIDTH) in 0-1."""
    columns, lines = np.arange(WIDTH, dtype=np.float32), np.arange(HEIGHT, dtype=np.float32)
    behind = path[:, :1] - columns
    heat = np.where(behind > 0, np.exp(-np.maximum(behind, 0) / 40), 0).astype(np.float32)
    centre = np.interp(columns, path[:, 0], path[:, 1]).astype(np.float32)
    profile = np.exp(-(((lines[:, None] - centre) / width) ** 2) / 2)
    return heat[:, None, :] * profile[None]


def _add_sparks(
    film: NDArray[np.float32],
    path: NDArray[np.float32],
    per_frame: NDArray[np.float32],
    rng: np.random.Generator,
) -> None:
    """Draw bright streaks that fly from the arc into `film`; per_frame: their expected number, (frames,)."""
    frame = np.repeat(np.arange(len(film)), rng.poisson(per_frame))
    count = len(frame)
    angle, reach = rng.uniform(0, 2 * np.pi, count), rng.uniform(12, 52, count)
    length, bright = rng.uniform(4, 10, count), rng.uniform(0.45, 1.0, count)
    along = reach[:, None] + length[:, None] * np.linspace(0, 1, 10)
    x = path[frame, 0][:, None] + along * np.cos(angle)[:, None]
    y = path[frame, 1][:, None] + 0.8 * along * np.sin(angle)[:, None]
    for dx, dy, share in ((0, 0, 1.0), (1, 0, 0.8), (0, 1, 0.8), (1, 1, 0.6)):  # two pixels thick
        column, line = x.astype(int) + dx, y.astype(int) + dy
        seen = (column >= 0) & (column < WIDTH) & (line >= 0) & (line < HEIGHT)
        value = np.broadcast_to((bright * share)[:, None], x.shape)[seen]
        frames_seen = np.broadcast_to(frame[:, None], x.shape)[seen]
        np.maximum.at(film, (frames_seen, line[seen], column[seen]), value.astype(np.float32))


def _plate(session: Session, rng: np.random.Generator) -> NDArray[np.float32]:
    """Unlit plate with a seam, (HEIGHT, WIDTH): grain, a gradient of light, a dark joint line."""
    coarse = rng.normal(0, 1, (HEIGHT // 4, WIDTH // 8))
    grain = np.kron(coarse, np.ones((4, 8)))
    lines, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    light = (
        0.09 + 0.05 * rng.normal() * (lines / HEIGHT - 0.5) + 0.05 * rng.normal() * (columns / WIDTH - 0.5)
    )
    seam = HEIGHT * (0.5 + session.camera_y) + np.tan(session.tilt_rad) * (columns - WIDTH / 2)
    joint = np.exp(-(((lines - seam) / 1.3) ** 2))
    return np.clip(light + 0.008 * session.grain * grain - 0.05 * joint, 0.01, 1).astype(np.float32)


def film_weld(
    session: Session, evidence: Evidence, frames: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Film `frames` grey pictures, (frames, HEIGHT, WIDTH) uint8 at 15 frames a second.

    big_pool: area x2.4; small_pool: area x0.35; drift: the pool leaves the seam; sparks: ten streaks a frame.
    """
    area = 2.4 ** evidence.of("big_pool") * 0.35 ** evidence.of("small_pool")
    size = float(np.sqrt(area) * session.zoom * rng.normal(1, 0.03))
    path = _path(session, evidence, frames, rng)
    exposure = rng.uniform(0.8, 1.2)
    begin, end = rng.integers(0, 4), frames - rng.integers(0, 4)
    lit = np.zeros((frames, 1, 1), np.float32)
    lit[begin:end] = np.clip(rng.normal(1, 0.07, (end - begin, 1, 1)), 0.75, 1.25)
    plate = _plate(session, rng)
    wide = _glow(path, (34 * session.zoom, 24 * session.zoom))
    film = plate * (0.45 + 3.2 * lit * wide)  # the arc is the lamp of this scene
    film += lit * 0.24 * _trail(path, 5.5 * size)
    film += lit * 0.30 * _pool(path, size, rng)
    film += lit * 1.3 * _glow(path, (3.6, 3.2))
    _add_sparks(film, path, (0.3 + 10 * evidence.of("sparks")) * lit[:, 0, 0], rng)
    film *= exposure
    film += rng.standard_normal(film.shape, dtype=np.float32) * np.float32(rng.uniform(0.006, 0.014))
    return (np.clip(film, 0, 1) ** 0.85 * 255).astype(np.uint8)
