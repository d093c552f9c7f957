"""Train several networks at once, a process and a bar each; what is finished is not done again.

One thread a process: two in one process spend their time waiting for each other as soon as anything else runs
on the machine (measured: 13 s a step against 4 s).
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from typing import Protocol, TypeVar

import torch
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

News = Queue[tuple[str, int, str]]  # name of the job, steps done since, a word for its bar


class Job(Protocol):
    """A network to train; small enough to send to another process."""

    @property
    def name(self) -> str:
        """Of its bar."""
        ...

    @property
    def steps(self) -> int:
        """Length of its bar."""
        ...

    @property
    def result(self) -> Path:
        """The file it leaves."""
        ...


AnyJob = TypeVar("AnyJob", bound=Job)


def train_side_by_side(
    train: Callable[[AnyJob, News], float], jobs: Sequence[AnyJob], workers: int
) -> dict[str, float]:
    """Run `train` on every job whose result is not there yet, `workers` at a time.

    An interrupted training goes on: what a job left is kept. The first failure is raised at once.
    returns: name -> what `train` returned, for those trained now
    """
    context = multiprocessing.get_context("spawn")
    waiting = [job for job in jobs if not job.result.is_file()]
    with context.Manager() as manager, ProcessPoolExecutor(workers, mp_context=context) as pool:
        news: News = manager.Queue()
        futures = {pool.submit(train, job, news): job for job in waiting}
        _follow(futures, news)
    return {job.name: future.result() for future, job in futures.items()}


@contextmanager
def one_thread() -> Iterator[None]:
    """This process computes on one thread, and takes numbers too small to be normal for zero."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)


def leave(state: Mapping[str, Tensor], result: Path) -> None:
    """Write the result of a job, whole or not at all."""
    unfinished = result.with_suffix(".part")
    save_file(dict(state), unfinished)
    unfinished.replace(result)


def _follow(futures: dict[Future[float], AnyJob], news: News) -> None:
    """Keep the bars moving until every job is done."""
    bars = {
        job.name: tqdm(total=job.steps, desc=job.name, unit="step", position=index, mininterval=1)
        for index, job in enumerate(futures.values())
    }
    pending = set(futures)
    while pending or not news.empty():
        try:
            name, steps, text = news.get(timeout=0.5)
        except Empty:
            done, pending = wait(pending, timeout=0, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
            continue
        bars[name].update(steps)
        if text:
            bars[name].set_postfix_str(text)
    for bar in bars.values():
        bar.close()
