"""Ladders of one clip at rising compression: held-out sources, three codecs, six rungs each, kept on disk."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from training.quality_clips.distortions import CODECS, Coding
from training.quality_clips.scenes import Film
from training.quality_clips.sources import Source, packaged, split_of
from training.quality_clips.writing import write_film


@dataclass(frozen=True)
class Ladder:
    """The compressions of one codec, mildest first.

    options: what FFmpeg calls the setting; called: what people call it
    """

    codec: str
    called: str
    options: tuple[str, ...]
    values: tuple[int, ...]

    def coding(self, value: int) -> Coding:
        """How the rung of this value is written; everything else as the clips that were trained on."""
        usual = CODECS[self.codec](0.0)
        return replace(usual, options={**usual.options, **dict.fromkeys(self.options, str(value))})


# H.264 in steps of 6, each of which doubles the quantiser's step; the others in steps as far apart
LADDERS = (
    Ladder("H.264", "constant rate factor", ("crf",), (18, 24, 30, 36, 42, 48)),
    Ladder("MPEG-4", "quantiser", ("qmin", "qmax"), (2, 4, 7, 12, 20, 31)),
    Ladder("VP9", "constant quality", ("crf",), (20, 28, 36, 44, 52, 60)),
)
CLIPS = sum(len(ladder.values) for ladder in LADDERS)  # of one source


@dataclass(frozen=True)
class Rung:
    """One file of a ladder; number: its place, 0 the mildest; value: of the codec's setting."""

    source: str
    content: str
    codec: str
    number: int
    value: int
    path: Path


def held_out() -> list[Source]:
    """The packaged sources that no training has seen; FileNotFoundError with the package that is missing."""
    return [source for source in packaged() if split_of(source.content) == "held_out"]


def first_of_each(sources: Sequence[Source], contents: int) -> list[Source]:
    """One source of each of the first so many contents."""
    firsts: Mapping[str, Source] = {source.content: source for source in reversed(sources)}
    chosen = [source for source in sources if firsts[source.content] is source]
    return chosen[:contents]


def climb(source: Source, folder: Path) -> Iterator[Rung]:
    """Every rung of a source, written where it is not there yet; its folder is named after its pictures."""
    film = source.film()
    place = folder / f"{source.name}-{zlib.crc32(film.tobytes()):08x}"
    place.mkdir(parents=True, exist_ok=True)
    for ladder in LADDERS:
        for number, value in enumerate(ladder.values):
            path = _written(place, film, ladder, value)
            yield Rung(source.name, source.content, ladder.codec, number, value, path)


def _written(place: Path, film: Film, ladder: Ladder, value: int) -> Path:
    coding = ladder.coding(value)
    path = place / f"{ladder.codec.replace('.', '')}-{value}.{coding.container}"
    if not path.is_file():
        draft = path.with_suffix(".part")  # an interrupted call must not leave half a film
        write_film(draft, film, coding).replace(path)
    return path
