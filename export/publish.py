"""Whole files or nothing: engines are built elsewhere and renamed into place when they are proven.

Triton takes every folder inside a model's folder for a version or for a change (the mtime of a
`.staging/` reloads all versions; `2.tmp` is read as version 2), so staging lies in `build/` beside it all.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path


@contextlib.contextmanager
def staging(repository: Path, model: str) -> Iterator[Path]:
    """An empty folder on the repository's file system, gone afterwards whatever happened."""
    parent = repository.resolve().parent / "build" / "export"
    parent.mkdir(parents=True, exist_ok=True)
    if parent.stat().st_dev != repository.stat().st_dev:
        raise OSError(
            f"{parent}: expected the file system of {repository}, got another; a rename cannot cross it"
        )
    with _passing(parent, model) as folder:
        yield folder


@contextlib.contextmanager
def staging_beside(out: Path) -> Iterator[Path]:
    """An empty folder beside `out`, which no server reads, gone afterwards whatever happened."""
    out.resolve().parent.mkdir(parents=True, exist_ok=True)
    with _passing(out.resolve().parent, f".{out.name}") as folder:
        yield folder


@contextlib.contextmanager
def _passing(parent: Path, name: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def publish(files: Sequence[Path], folder: Path) -> list[Path]:
    """Move `files` into `folder` one by one, each whole: sync the file, rename it, sync the folder.

    Put the manifest last: a reader that sees the new manifest sees every file it names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    published = []
    for file in files:
        sync(file)
        published.append(file.replace(folder / file.name))
    sync(folder)
    return published


def sync(path: Path) -> None:
    """Make a file's content, or the renames inside a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
