"""What people do without releases: reload the changed models one after another while requests keep coming.

The ensemble takes the newest version of each model, and a model goes over to a version that was laid into
its folder when it is loaded again. From the first of these loads to the last, answers come from mixtures.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm
from tritonclient.grpc import InferenceServerClient

import serving
from benchmarks import open_loop, recording
from benchmarks.recording import Recording
from benchmarks.two_sets import NEW, OLD, OUTPUTS, PIPELINE, TwoSets, copy_repository
from serving.control import REPOSITORY
from serving.releases.live import Live

NEWEST = -1
LEAD_S = 2.0  # of plain traffic before the first reload and after the last


@dataclass(frozen=True)
class Reloads:
    """There and back `rounds` times, a begin every `every_s`."""

    rounds: int = 5
    every_s: float = 4.0
    rate_hz: float = 8.0
    seed: int = 7

    @property
    def duration_s(self) -> float:
        """Of the whole schedule."""
        return 2 * LEAD_S + 2 * self.rounds * self.every_s


@dataclass(frozen=True)
class Window:
    """Seconds of the schedule from the first load of a set to the end of the last."""

    begin_s: float
    end_s: float


def measure(
    work: Path,
    engines: Mapping[str, Path],
    payloads: Sequence[Mapping[str, Any]],
    plan: Reloads,
) -> tuple[Recording, list[Window]]:
    """Reload on a server of our own, under open-loop load.

    engines: model -> folder of its new version
    returns: every request, and the windows of the reloads
    """
    repository = copy_repository(REPOSITORY, work / "one_by_one").resolve()
    schedule = open_loop.poisson(plan.rate_hz, plan.duration_s, len(payloads), plan.seed)
    with serving.running([PIPELINE], repository) as server:
        _follow_newest(server.grpc, repository)
        load = open_loop.load(server.grpc, schedule, payloads, OUTPUTS, PIPELINE)
        open_loop.ask(server.grpc, load.messages["live"], OUTPUTS)  # warm
        with open_loop.Traffic(load) as traffic:
            windows = list(_reloads(server.grpc, repository, engines, plan, traffic.begin()))
            recorded = traffic.finish()
    return recorded, windows


def _follow_newest(url: str, repository: Path) -> None:
    """Pin nothing: what an ensemble does whose configuration names no versions."""
    with Live(url, repository) as live:
        pins = live.pinned(PIPELINE) or {}
        live.hold({model: [version] for model, version in pins.items()})
        live.pin(PIPELINE, dict.fromkeys(pins, NEWEST))


def _reloads(
    url: str, repository: Path, engines: Mapping[str, Path], plan: Reloads, began: float
) -> Iterator[Window]:
    with InferenceServerClient(url) as server:
        for index in tqdm(range(2 * plan.rounds), desc="one by one", unit="reload", file=sys.stderr):
            time.sleep(max(0.0, began + LEAD_S + index * plan.every_s - time.monotonic()))
            _lay(repository, engines, is_new=index % 2 == 0)
            begin_s = time.monotonic() - began
            for model in engines:
                server.load_model(model)
            yield Window(begin_s, time.monotonic() - began)


def _lay(repository: Path, engines: Mapping[str, Path], is_new: bool) -> None:
    """Version 2 of every engine comes, or goes."""
    for model, folder in engines.items():
        version = repository / model / "2"
        shutil.rmtree(version, ignore_errors=True)
        if is_new:
            shutil.copytree(folder, version)


def engines_of(repository: Path, sets: TwoSets) -> dict[str, Path]:
    """Model -> folder of the new version of every model that changed."""
    return {model: repository / model / str(sets.new[model]) for model in sets.changed}


def figures(recorded: Recording, labels: NDArray[np.str_], windows: Sequence[Window]) -> dict[str, Any]:
    """Which share of the answers came from a mixture while the models were reloaded."""
    begin = np.array([window.begin_s for window in windows])[None]
    end = np.array([window.end_s for window in windows])[None]
    due = recorded.due_s[:, None]
    inside = ((due >= begin) & (due <= end)).any(axis=1) & recorded.answered
    mixed = recorded.answered & ~np.isin(labels, [OLD, NEW])
    lengths_s = [window.end_s - window.begin_s for window in windows]
    return recording.summary(recorded, labels) | {
        "reloads": len(windows),
        "window_s": {"median": round(float(np.median(lengths_s)), 3), "max": round(max(lengths_s), 3)},
        "answers_in_windows": int(inside.sum()),
        "mixtures": int(mixed.sum()),
        "mixed_share_in_windows": round(float(mixed[inside].mean()), 3) if inside.any() else None,
    }
