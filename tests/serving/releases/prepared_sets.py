"""Sets that were brought into the small repository, and the ways in which bringing them can end."""

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from export import manifest
from serving.releases.prepare import prepare
from serving.releases.record import Pipeline
from serving.releases.room import Room
from serving.releases.store import Store
from tests.serving.releases.dying import dies_at
from tests.serving.releases.small_sets import PIPELINE, version_folders

PLENTY = Room(disk=1 << 40, memory=1 << 40, shm=1 << 40)


def bring(store: Store, source: Path, **changes) -> Pipeline:
    known = {"target": "cpu", "by": "ann@bench", "why": "retrained", "room": PLENTY}
    return prepare(store, PIPELINE, source, **(known | changes))


def with_state(store: Store, number: int, state: str, **changes) -> Pipeline:
    """What later steps make of a prepared release."""
    record = store.read(PIPELINE)
    release = replace(record.release(number), state=state)
    return store.write(PIPELINE, replace(record.with_release(release), **changes))


def deaths(store: Store, fresh: Path, work) -> Iterator[int]:
    """Every moment at which `work(store, pass_by)` can die; the repository is `fresh` before each."""
    for moment in itertools.count(1):
        shutil.rmtree(store.repository)
        shutil.copytree(fresh, store.repository)
        if not dies_at(moment, lambda pass_by: work(store, pass_by)):
            return
        yield moment


def assert_every_version_is_whole(store: Store) -> None:
    for model, names in version_folders(store.repository).items():
        for name in names:
            assert name.isdecimal(), f"{model}: {name}"
            if model != "gate":
                assert manifest.verify(store.repository / model / name) == []
