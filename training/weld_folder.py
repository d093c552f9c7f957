"""Find weld runs on disk, in the layout of the public data set, and split them by session.

    <root>/manifest.csv                      optional; CATEGORY and SUBDIRS are read
    <root>/[...]/<session>/<MM-DD-YY-NNNN-CC>/<id>.avi, <id>.flac, <id>.csv, images/*.jpg

A run's class and session come from here and go no further: the networks see file contents only, never a path.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from multimodal.weld_classes import CLASS_NAMES

_RUN_NAME = re.compile(r"\d{2}-\d{2}-\d{2}-\d{4}-(\d{2})")
_PHOTO_ENDINGS = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True)
class WeldRun:
    """One weld: its class and its files; what was not recorded is None (photos: an empty tuple)."""

    id: str
    class_index: int
    session: str
    video: Path | None
    photos: tuple[Path, ...]
    audio: Path | None
    sensor: Path | None


def class_of_category(category: str) -> int:
    """Class index of a manifest's CATEGORY; upper/lower case, blanks, hyphens and underscores do not matter.

    raises ValueError for a category nobody knows: it is never taken for Good
    """
    known = {_plain(name): index for index, name in enumerate(CLASS_NAMES)}
    if _plain(category) not in known:
        raise ValueError(
            f"category: expected one of {', '.join(CLASS_NAMES)}, got {category!r}; correct the manifest"
        )
    return known[_plain(category)]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _class_of_name(folder: Path) -> int:
    match = _RUN_NAME.fullmatch(folder.name)
    code = int(match.group(1)) if match else -1
    if not 0 <= code < len(CLASS_NAMES):
        raise ValueError(
            f"{folder}: expected a name that ends in a class code 00 to {len(CLASS_NAMES) - 1}, got none; "
            "rename it or list it in manifest.csv"
        )
    return code


def _categories(manifest: Path) -> dict[str, int]:
    """Run id -> class index; the id is the last part of SUBDIRS."""
    with manifest.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        missing = sorted({"CATEGORY", "SUBDIRS"} - set(rows.fieldnames or ()))
        if missing:
            raise ValueError(
                f"{manifest}: expected the columns CATEGORY and SUBDIRS, {', '.join(missing)} missing"
            )
        found: dict[str, int] = {}
        for line, row in enumerate(rows, start=2):
            try:
                found[Path(row["SUBDIRS"].strip()).name] = class_of_category(row["CATEGORY"])
            except ValueError as error:
                raise ValueError(f"{manifest}, line {line}: {error}") from None
    return found


def _only(folder: Path, ending: str) -> Path | None:
    """The run's file of one kind: `<id><ending>`, else the only one with that ending."""
    named = folder / f"{folder.name}{ending}"
    if named.is_file():
        return named
    others = sorted(path for path in folder.glob(f"*{ending}") if path.is_file())
    if len(others) > 1:
        raise ValueError(f"{folder}: expected one {ending} file, found {len(others)}; keep the right one")
    return others[0] if others else None


def read_run(folder: Path, class_index: int) -> WeldRun:
    """Describe the run in `folder`; files that are not there are None."""
    images = folder / "images"
    photos = sorted(path for path in images.glob("*") if path.suffix.lower() in _PHOTO_ENDINGS)
    return WeldRun(
        id=folder.name,
        class_index=class_index,
        session=folder.parent.name,
        video=_only(folder, ".avi"),
        photos=tuple(photos),
        audio=_only(folder, ".flac") or _only(folder, ".wav"),
        sensor=_only(folder, ".csv"),
    )


def find_runs(root: Path) -> list[WeldRun]:
    """All runs under `root`, sorted by session and id.

    The class is the manifest's CATEGORY, or where there is no manifest the code at the end of the run's name.
    raises FileNotFoundError without a root or runs, ValueError for runs of unknown class
    """
    if not root.is_dir():
        raise FileNotFoundError(
            f"{root}: expected a folder of weld runs, found none; `python -m training generate` makes one"
        )
    folders = sorted(path for path in root.rglob("*") if path.is_dir() and _RUN_NAME.fullmatch(path.name))
    if not folders:
        raise FileNotFoundError(
            f"{root}: expected folders named MM-DD-YY-NNNN-CC, found none; is it the right root?"
        )
    manifest = root / "manifest.csv"
    if not manifest.is_file():
        return [read_run(folder, _class_of_name(folder)) for folder in folders]
    categories = _categories(manifest)
    unlisted = [folder.name for folder in folders if folder.name not in categories]
    if unlisted:
        raise ValueError(
            f"{manifest}: expected a row for every run, {len(unlisted)} have none, the first {unlisted[0]}"
        )
    return [read_run(folder, categories[folder.name]) for folder in folders]


def split_by_session(
    runs: Sequence[WeldRun], shares: Mapping[str, float], seed: int = 0
) -> dict[str, list[int]]:
    """Distribute runs so that no session is in two splits and every split has each class in its share.

    shares: name -> share, summing to 1; returns name -> sorted indices into `runs`. Sessions go,
    largest first, to the split that is furthest behind on that session's classes.
    """
    if not shares or abs(sum(shares.values()) - 1) > 1e-6 or min(shares.values()) <= 0:
        raise ValueError(f"shares: expected positive numbers that sum to 1, got {dict(shares)}")
    sessions: dict[str, list[int]] = {}
    for index, run in enumerate(runs):
        sessions.setdefault(run.session, []).append(index)
    if len(sessions) < len(shares):
        raise ValueError(
            f"splits: expected at least {len(shares)} sessions, got {len(sessions)}; record more sessions"
        )
    total = Counter(run.class_index for run in runs)
    held: dict[str, Counter[int]] = {name: Counter() for name in shares}
    splits: dict[str, list[int]] = {name: [] for name in shares}
    names = sorted(sessions)
    order = [names[index] for index in np.random.default_rng(seed).permutation(len(names))]
    for session in sorted(order, key=lambda name: -len(sessions[name])):
        classes = Counter(runs[index].class_index for index in sessions[session])

        def behind(name: str, classes: Counter[int] = classes) -> float:
            return sum(n * (1 - held[name][c] / (shares[name] * total[c])) for c, n in classes.items())

        chosen = max(shares, key=behind)
        splits[chosen] += sessions[session]
        held[chosen] += classes
    return {name: sorted(indices) for name, indices in splits.items()}
