"""Find clips with known quality on disk: our own labelled sets, and the public ones with human scores.

    crossfuse   <root>/manifest.csv (file, content, split, distortion, score), written by quality_clips
    LSVQ        <root>/**/LSVQ_whole_train.csv, LSVQ_whole_test.csv: name, mos (0-100)
    KoNViD-1k   <root>/**/KoNViD_1k_attributes.csv or KONVID_1K_metadata.csv: flickr_id, MOS (1-5)
    YouTube-UGC <root>/**/MOS_for_YouTube_UGC_dataset.csv or YOUTUBE_UGC_metadata.csv: vid, MOS full (1-5)

Videos may lie anywhere under the root; they are found by the name that the table gives them. Scores become
0-100. The networks see file contents only, never a path.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ENDINGS = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v")
SPLITS = ("train", "choose", "held_out")
MANIFEST = "manifest.csv"
LEARN = "train or choose"


@dataclass(frozen=True)
class Clip:
    """One video and what is known of it.

    source:       what it was made of: clips of one source differ in their damage alone
    frame_scores: a .npy of one score per frame, where there is one
    """

    path: Path
    content: str
    split: str
    score: float
    distortion: str = ""
    source: str = ""
    frame_scores: Path | None = None


@dataclass(frozen=True)
class Layout:
    """How one public data set writes its table; scale: its lowest and highest score.

    tables: file name, lower case, and the split it stands for (empty: split by name)
    """

    name: str
    tables: Mapping[str, str]
    id_columns: tuple[str, ...]
    score_columns: tuple[str, ...]
    scale: tuple[float, float]


LAYOUTS = (
    Layout(
        "LSVQ",
        {
            "lsvq_whole_train.csv": "",
            "lsvq_whole_test.csv": "held_out",
            "lsvq_whole_test_1080p.csv": "held_out",
        },
        ("name",),
        ("mos",),
        (0.0, 100.0),
    ),
    Layout(
        "KoNViD-1k",
        {"konvid_1k_attributes.csv": "", "konvid_1k_metadata.csv": "", "konvid_1k_mos.csv": ""},
        ("file_name", "flickr_id"),
        ("mos",),
        (1.0, 5.0),
    ),
    Layout(
        "YouTube-UGC",
        {"mos_for_youtube_ugc_dataset.csv": "", "youtube_ugc_metadata.csv": ""},
        ("vid",),
        ("mos full", "mosfull", "mos"),
        (1.0, 5.0),
    ),
)


def find_clips(root: Path) -> list[Clip]:
    """Every clip of a root with its score, in the order of its table.

    raises: FileNotFoundError without a known table or a video that one names; ValueError for scores that are
            no numbers
    """
    if (root / MANIFEST).is_file():
        return list(_own(root))
    tables = {path.name.lower(): path for path in sorted(root.rglob("*.csv"))} if root.is_dir() else {}
    for layout in LAYOUTS:
        found = {tables[name]: split for name, split in layout.tables.items() if name in tables}
        if found:
            videos = _videos(root)
            official = "held_out" in found.values()  # then nothing else may be held out
            return [
                clip
                for table, split in found.items()
                for clip in _public(layout, table, videos, split if split or not official else LEARN)
            ]
    known = ", ".join([MANIFEST, *(next(iter(layout.tables)) for layout in LAYOUTS)])
    raise FileNotFoundError(f"{root}: expected one of the tables {known}, found none; check the folder")


def scores_of(clips: list[Clip]) -> NDArray[np.float64]:
    """(clips,) scores, 0-100."""
    return np.array([clip.score for clip in clips], np.float64)


def split_rows(clips: list[Clip]) -> dict[str, list[int]]:
    """Split -> rows. raises: ValueError when a content lies in two splits, or a split is empty"""
    of_content: dict[str, str] = {}
    for clip in clips:
        if of_content.setdefault(clip.content, clip.split) != clip.split:
            raise ValueError(f"content {clip.content}: expected it in one split, got {clip.split} too")
    rows = {name: [row for row, clip in enumerate(clips) if clip.split == name] for name in SPLITS}
    if empty := [name for name in SPLITS if not rows[name]]:
        raise ValueError(
            f"clips: expected some of every split, got none for {', '.join(empty)}; add contents"
        )
    return rows


def _own(root: Path) -> Iterator[Clip]:
    for number, line in enumerate(_lines(root / MANIFEST), 2):
        path = root / line["file"]
        if not path.is_file():
            raise FileNotFoundError(
                f"{root / MANIFEST}, line {number}: expected {line['file']}, found no file"
            )
        if line["split"] not in SPLITS:
            raise ValueError(
                f"{root / MANIFEST}, line {number}: expected a split of {SPLITS}, got {line['split']}"
            )
        frames = root / "frames" / f"{path.stem}.npy"
        yield Clip(
            path,
            line["content"],
            line["split"],
            _number(line["score"], root / MANIFEST, number),
            line.get("distortion", ""),
            line.get("source", "") or line["content"],
            frames if frames.is_file() else None,
        )


def _public(layout: Layout, table: Path, videos: Mapping[str, Path], split: str) -> Iterator[Clip]:
    """Each clip is a content of its own; where the split is open, a hash of its name decides."""
    low, high = layout.scale
    for number, line in enumerate(_lines(table), 2):
        name = _column(line, layout.id_columns, table)
        score = _number(_column(line, layout.score_columns, table), table, number)
        path = _video(name, videos)
        if path is None:
            raise FileNotFoundError(
                f"{table.name}, line {number}: expected a video named {name} under its root"
            )
        if not low <= score <= high:
            raise ValueError(
                f"{table.name}, line {number}: expected a score of {low:g}-{high:g}, got {score:g}"
            )
        yield Clip(
            path,
            name,
            split if split in SPLITS else _split_by_name(name, split),
            100 * (score - low) / (high - low),
            source=table.stem,
        )


def _lines(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        for line in csv.DictReader(file):
            yield {(key or "").strip().lower(): (value or "").strip() for key, value in line.items()}


def _column(line: Mapping[str, str], names: tuple[str, ...], table: Path) -> str:
    for name in names:
        if line.get(name):
            return line[name]
    raise ValueError(f"{table.name}: expected a column {' or '.join(names)}, got {', '.join(line)}")


def _number(text: str, table: Path, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise ValueError(f"{table.name}, line {line}: expected a number as score, got {text!r}")
    return value


def _videos(root: Path) -> dict[str, Path]:
    """Stem -> path of every video under the root."""
    return {path.stem: path for path in sorted(root.rglob("*")) if path.suffix.lower() in ENDINGS}


def _video(name: str, videos: Mapping[str, Path]) -> Path | None:
    """By its stem; YouTube-UGC appends `_crf_10_ss_00_t_20.0` to the names of its table."""
    stem = Path(name).name
    stem = stem[: -len(Path(stem).suffix)] if Path(stem).suffix.lower() in ENDINGS else stem
    if stem in videos:
        return videos[stem]
    return next((path for known, path in videos.items() if known.startswith(f"{stem}_")), None)


def _split_by_name(name: str, split: str) -> str:
    """80 % to train, 10 % to choose by, and the rest held out unless the data set says what is."""
    share = zlib.crc32(name.encode()) / 2**32
    return "train" if share < 0.8 else "choose" if share < 0.9 or split == LEARN else "held_out"
