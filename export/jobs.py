"""Exports side by side: one job per model, as many processes as pay, torch only where the work is done."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from export.parity import ParityRow
from export.targets import Order

PROCESSES = 2  # an export is one Python thread; two fill the two cores of the smallest machine


@dataclass(frozen=True)
class Job:
    """One model to export: from these weights (None: random), for that repository, into that folder.

    fusion: the chosen one, empty where the preset has no choice
    target: one of export.targets.TARGETS; precision: one of export.targets.PRECISIONS
    build: one of export.tensorrt.OPTIONS, of a target that builds plans; keep, calibration: see
    export.targets.Order
    """

    preset: str
    model: str
    weights: Path | None
    repository: Path
    folder: Path
    recorded: Path | None = None
    fusion: str = ""
    target: str = "cpu"
    precision: str = "fp32"
    build: str = "default"
    keep: tuple[str, ...] = ()
    calibration: Path | None = None

    @property
    def order(self) -> Order:
        """What is asked for of the files."""
        return Order(self.target, self.precision, self.build, self.keep, self.calibration)


def run(jobs: Sequence[Job]) -> Iterator[tuple[Job, list[ParityRow]]]:
    """Export every job, in this process if it is the only one, and give each back as it finishes.

    The first failure is raised after what runs beside it has ended; what has not begun is not begun.
    """
    processes = min(PROCESSES, len(jobs))
    if processes <= 1:
        for job in jobs:
            yield job, _export(job)
        return
    context = multiprocessing.get_context("spawn")  # a fork after torch has started its threads can hang
    threads = max(1, (os.cpu_count() or 1) // processes)
    with ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(threads,)) as pool:
        waiting = {pool.submit(_export, job): job for job in jobs}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _begin(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _export(job: Job) -> list[ParityRow]:
    from export.artefacts import export_model

    return export_model(job)
