"""Version folders that come by one rename and leave by one, so that a server never sees half of one.

Everything is under construction in `.releases/staging`: on the repository's file system, since a rename
cannot leave it, and outside the models' folders, where Triton takes what it finds for versions.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from export import manifest
from export.publish import sync
from serving.releases.sets import Candidate
from serving.releases.store import Store

FOLDER = "staging"
PLACEHOLDER = ".gitkeep"  # what git has of a version folder whose engines are made by an export
CHUNK_BYTES = 8 << 20

Progress = Callable[[str, int, int], None]  # what, how much of it is done, how much there is


def bring(
    store: Store, number: int, versions: Mapping[str, int], engines: Sequence[Candidate], progress: Progress
) -> None:
    """Copy the engines of release `number` aside, prove them there, then rename one model after the other.

    errors: RuntimeError when the source changed meanwhile; OSError. What has happened by then is not undone.
    """
    staging = store.folder / FOLDER / str(number)
    staging.mkdir(parents=True)
    total, done = sum(one.bytes for one in engines), 0
    for one in engines:
        folder = staging / one.model
        folder.mkdir()
        for name in one.files:
            for size in _copy(one.folder / name, folder / name):
                done += size
                progress("copying", done, total)
        _write(folder / manifest.FILE, {**one.manifest, "version": versions[one.model]})
        sync(folder)
    for one in engines:
        _prove(staging / one.model, one)
    for place, one in enumerate(engines):
        model = store.repository / one.model
        (staging / one.model).rename(model / str(versions[one.model]))
        sync(model)
        progress("renaming", place + 1, len(engines))
    empty(store)


def remove(store: Store, folders: Iterable[Path]) -> int:
    """Delete version folders, each gone for a server in one step; returns how many there were."""
    count = 0
    for folder in folders:
        if folder.is_dir():
            trash = store.folder / FOLDER / f"trash-{folder.parent.name}-{folder.name}"
            trash.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(trash)
            if (trash / PLACEHOLDER).exists():
                _bring_placeholder(store, folder)
            sync(folder.parent)
            count += 1
    empty(store)
    return count


def _bring_placeholder(store: Store, folder: Path) -> None:
    """A version folder that the checkout itself has stays there, without its engines."""
    bare = store.folder / FOLDER / f"bare-{folder.parent.name}-{folder.name}"
    bare.mkdir()
    (bare / PLACEHOLDER).touch()
    bare.rename(folder)


def empty(store: Store) -> None:
    """Delete everything under construction; for the holder of the lock, beside whom nobody constructs."""
    if (store.folder / FOLDER).exists():
        shutil.rmtree(store.folder / FOLDER)


def _copy(source: Path, target: Path) -> Iterable[int]:
    """Copy one file durably; yields the bytes of each piece."""
    with source.open("rb") as read, target.open("xb") as written:
        while chunk := read.read(CHUNK_BYTES):
            written.write(chunk)
            yield len(chunk)
        written.flush()
        os.fsync(written.fileno())


def _write(path: Path, content: Mapping[str, object]) -> None:
    with path.open("x") as stream:
        stream.write(manifest.render(content))
        stream.flush()
        os.fsync(stream.fileno())


def _prove(folder: Path, one: Candidate) -> None:
    """What lies in staging is what was read before: an export may have gone on writing in between."""
    faults = manifest.verify(folder)
    if faults:
        raise RuntimeError(
            f"{one.model}: expected the files that were read a moment ago, {one.folder} has changed "
            f"meanwhile: {'; '.join(faults)}; prepare again when whatever writes there has ended"
        )
