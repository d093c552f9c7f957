"""Several people at once: the second is told, nothing interleaves, and what answers is what is on record."""

import os
import random
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serving.releases.live import Live
from serving.releases.store import Store, whoami
from tests.end_to_end.releases.killing import Operator
from tests.end_to_end.releases.lab import NEW, OLD, until
from tests.end_to_end.releases.sets import PIPELINE
from tests.end_to_end.releases.traffic import Traffic

pytestmark = pytest.mark.server
ROOT = Path(__file__).parents[3]
PEOPLE, CHANGES = 3, 8  # at once, and of each


@pytest.fixture(scope="module")
def flipped(operator, candidate):
    """Release 2 is live and was judged good enough, release 1 is the previous one."""
    operator.do("prepare", source=str(candidate), why="three new engines")
    operator.do("flip", number=2, force="not judged here")


def release(repository: Path, url: str, *words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "serving", "release", *words, "--repository", str(repository)]
    return subprocess.run([*command, "--url", url], cwd=ROOT, capture_output=True, text=True)


def holder(repository: Path) -> str:
    path = repository / ".releases" / "lock"
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize("verb", ["rollback", "retire", "restore"])
def test_whoever_comes_second_is_told_who_is_at_work_and_changes_nothing(
    verb, flipped, repository, served, few
):
    before = Store(repository).read(PIPELINE)
    with Operator(repository, served.grpc, few) as first, ThreadPoolExecutor(1) as pool:
        # stands still after it took the lock, before it wrote or loaded anything
        at_work = pool.submit(first.run, "flip", number=1, why="slowly", die_at=3, by=signal.SIGSTOP)
        until(lambda: "release flip" in holder(repository), "the first operator to be at work")
        (pid,) = re.findall(r"\(process (\d+)\)", holder(repository))
        try:
            told = release(repository, served.grpc, verb, PIPELINE)
        finally:
            os.kill(int(pid), signal.SIGCONT)
        assert at_work.result().error == ""
        first.do("flip", number=2)
    assert told.returncode == 1
    assert f"`release flip` by {whoami()} (process {pid}) since" in told.stderr
    assert "Traceback" not in told.stderr
    after = Store(repository).read(PIPELINE)
    assert [event.verb for event in after.history[len(before.history) :]] == ["flip", "flip"]


def test_racing_flips_and_rollbacks_follow_one_another_and_answers_are_never_mixed(
    flipped, repository, served, few, known
):
    store = Store(repository)
    before = store.read(PIPELINE)
    errors: list[str] = []

    def somebody(seed: int) -> None:
        draw = random.Random(seed)
        with Operator(repository, served.grpc, few) as one:
            started.wait()
            for _ in range(CHANGES):
                if draw.random() < 0.3:
                    errors.append(one.run("rollback", why=f"person {seed}").error)
                else:
                    errors.append(one.run("flip", number=draw.choice((1, 2)), why=f"person {seed}").error)

    started = threading.Barrier(PEOPLE)
    with Traffic(served.grpc, known) as traffic, ThreadPoolExecutor(PEOPLE) as people:
        traffic.some_more()
        list(people.map(somebody, range(PEOPLE)))
        traffic.some_more()
    told = [error for error in errors if error]
    assert [error for error in told if "is at work" not in error and "to go back to" not in error] == []
    assert len(told) < len(errors)
    assert traffic.errors == []
    assert set(traffic.answers) <= {OLD, NEW}

    after = store.read(PIPELINE)
    active = before.active
    for event in after.history[len(before.history) :]:
        assert event.verb in ("flip", "rollback")
        assert event.figures["from"] == active, event
        active = event.release
    assert (after.active, after.pending) == (active, None)
    with Live(served.grpc, repository) as live:
        assert live.pinned(PIPELINE) == after.release(active).versions
