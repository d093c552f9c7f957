"""What is done to a good clip: a table of distortions, each from 0 (just visible) to 1 (ruin).

A distortion changes the pictures, or it is the codec that writes the file; every file is compressed, so what
is distorted in its pictures is written at a rate where the codec adds nothing to speak of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np

from training.quality_clips.scenes import Film

Alter = Callable[[Film, float, np.random.Generator], Film]


@dataclass(frozen=True)
class Coding:
    """How a file is written: FFmpeg's encoder, its container, and its options."""

    encoder: str
    container: str
    options: Mapping[str, str]


TRANSPARENT = Coding("libx264", "mp4", {"crf": "12", "preset": "veryfast"})


def _between(strength: float, low: float, high: float) -> str:
    return str(round(low + strength * (high - low)))


def h264(strength: float) -> Coding:
    """Constant rate factor 20 to 51."""
    return Coding("libx264", "mp4", {"crf": _between(strength, 20, 51), "preset": "veryfast"})


def mpeg4(strength: float) -> Coding:
    """Quantiser 3 to 31, AVI."""
    quantiser = _between(strength, 3, 31)
    return Coding("mpeg4", "avi", {"qmin": quantiser, "qmax": quantiser})


def vp9(strength: float) -> Coding:
    """Constant quality 24 to 63, WebM."""
    options = {"crf": _between(strength, 24, 63), "b": "0", "deadline": "realtime", "cpu-used": "8"}
    return Coding("libvpx-vp9", "webm", options)


def blur(film: Film, strength: float, rng: np.random.Generator) -> Film:
    """Out of focus: Gaussian of 0.6 to 5 px at 270 rows."""
    sigma = 0.6 * (5 / 0.6) ** strength * film.shape[1] / 270
    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in film])


def noise(film: Film, strength: float, rng: np.random.Generator) -> Film:
    """A dark sensor: Gaussian noise of 4 to 80 levels, new in every frame."""
    deviation = 4 * (80 / 4) ** strength
    grain = rng.normal(0, deviation, film.shape).astype(np.float32)
    return np.clip(film + grain, 0, 255).astype(np.uint8)


def blocking(film: Film, strength: float, rng: np.random.Generator) -> Film:
    """Every frame through JPEG at quality 45 to 2."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(_between(strength, 45, 2))]
    coded = [cv2.imencode(".jpg", frame[..., ::-1], quality)[1] for frame in film]
    return np.stack([cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1] for data in coded])


def dropped_frames(film: Film, strength: float, rng: np.random.Generator) -> Film:
    """A stalling stream: 10 to 85 % of the frames repeat the one before."""
    lost = rng.random(len(film)) < 0.1 + 0.75 * strength
    lost[0] = False
    kept = np.maximum.accumulate(np.where(lost, 0, np.arange(len(film))))
    return film[kept]


def flicker(film: Film, strength: float, rng: np.random.Generator) -> Film:
    """A failing exposure: every frame 2 to 50 % brighter or darker, at random."""
    depth = 0.02 * (0.5 / 0.02) ** strength
    gain = 1 + depth * rng.choice([-1.0, 1.0], (len(film), 1, 1, 1)) * rng.uniform(
        0.4, 1.0, (len(film), 1, 1, 1)
    )
    return np.clip(film * gain.astype(np.float32), 0, 255).astype(np.uint8)


PICTURE: Mapping[str, Alter] = {
    "blur": blur,
    "noise": noise,
    "blocking": blocking,
    "dropped frames": dropped_frames,
    "flicker": flicker,
}
CODECS: Mapping[str, Callable[[float], Coding]] = {"H.264": h264, "MPEG-4": mpeg4, "VP9": vp9}
KINDS = (*CODECS, *PICTURE)
PRISTINE, MIXED = "pristine", " + "
IN_TIME = ("dropped frames", "flicker")  # no single frame shows them
IN_ONE_FRAME = tuple(name for name in PICTURE if name not in IN_TIME)


@dataclass(frozen=True)
class Treatment:
    """What happens to one copy of a source: pictures first, then the codec."""

    kind: str
    strength: float
    pictures: Mapping[str, float] = field(default_factory=dict)
    codec: str = ""

    def alter(self, film: Film, rng: np.random.Generator) -> Film:
        """The changed pictures; the same seed changes them the same way."""
        for name, strength in self.pictures.items():
            film = PICTURE[name](film, strength, rng)
        return film

    @property
    def coding(self) -> Coding:
        """How the file is written."""
        return CODECS[self.codec](self.strength) if self.codec else TRANSPARENT


def single(kind: str, strength: float) -> Treatment:
    """One distortion of the table; ValueError for another name or a strength outside 0 to 1."""
    if kind not in KINDS or not 0 <= strength <= 1:
        raise ValueError(
            f"distortion: expected one of {', '.join(KINDS)} and 0-1, got {kind!r} and {strength}"
        )
    return Treatment(
        kind, strength, {kind: strength} if kind in PICTURE else {}, kind if kind in CODECS else ""
    )


def treatments(rng: np.random.Generator, levels: int, mixed: int) -> list[Treatment]:
    """The pristine copy, `levels` of each kind spread over its strengths, `mixed` pairs of two."""
    chosen = [Treatment(PRISTINE, 0.0)]
    for kind in KINDS:
        chosen += [single(kind, (level + rng.random()) / levels) for level in range(levels)]
    for _ in range(mixed):
        picture, codec = rng.choice(list(PICTURE)), str(rng.choice(list(CODECS)))
        strength, second = rng.random(2) * 0.85
        name = f"{picture}{MIXED}{codec}"
        chosen.append(Treatment(name, float(strength), {str(picture): float(second)}, codec))
    return chosen
