"""A model repository of a test's own, servers on it, and what each set answers."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
from crossfuse import Client

import serving
from serving.releases.live import Live
from tests.end_to_end.releases.sets import CHANGED, PIPELINE
from tests.end_to_end.releases.traffic import MODALITIES, Known, figures
from tests.end_to_end.weld_files import WeldFiles

OLD, NEW = "A", "B"  # what the repository held, and the good set


def clone(repository: Path, folder: Path) -> Path:
    """A repository with the same version 1 and no releases; engines are hard links: nobody writes to them."""
    skip = shutil.ignore_patterns("weld_base_*", "releases.json", ".releases", "__pycache__", "[2-9]*")
    return Path(shutil.copytree(repository, folder, copy_function=_link, ignore=skip))


def known_answers(repository: Path, candidate: Path, weld: WeldFiles) -> Known:
    """What every combination of old and new models answers, `A` and `B` for the whole sets.

    repository: a clone to spoil; a mixture is called by a letter for each of the changed models
    """
    for model in CHANGED:
        shutil.copytree(candidate / model, repository / model / "2")
    answers = {}
    with serving.running([PIPELINE], repository) as server, Live(server.grpc, repository) as live:
        pins = live.pinned(PIPELINE)
        assert pins is not None
        every = dict.fromkeys(pins, (1,)) | dict.fromkeys(CHANGED, (1, 2))
        with Client(server.grpc) as client:
            for choice in product((1, 2), repeat=len(CHANGED)):
                live.hold(every)
                live.pin(PIPELINE, dict.fromkeys(pins, 1) | dict(zip(CHANGED, choice, strict=True)))
                name = "".join(OLD if number == 1 else NEW for number in choice)
                name = name[0] if len(set(name)) == 1 else name
                answers[name] = figures(client.infer(PIPELINE, **weld.payloads(*MODALITIES)))
    return Known(weld, answers)


def smallest_difference(known: Known) -> float:
    """How far apart, in the figure that differs most, the two most alike answers are."""
    every = list(known.answers.values())
    return min(float(np.abs(one - other).max()) for place, one in enumerate(every) for other in every[:place])


def until(condition: Callable[[], bool], what: str, timeout_s: float = 30.0) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"expected {what} within {timeout_s:.0f} s"
        time.sleep(0.02)


def version_folders(repository: Path) -> set[tuple[str, int]]:
    """(model, version) of every version folder."""
    return {
        (folder.parent.name, int(folder.name)) for folder in repository.glob("*/[0-9]*") if folder.is_dir()
    }


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
    return target
