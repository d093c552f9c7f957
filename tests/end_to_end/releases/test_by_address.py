"""The same steps on a server that somebody else started: all we have is its address and its repository."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from crossfuse import Client

from serving import control
from serving.embedded import install
from serving.processes import sweep
from serving.releases.store import Store
from serving.server import Options, command
from tests.end_to_end.releases.lab import NEW, OLD, until, version_folders
from tests.end_to_end.releases.sets import CHANGED, PIPELINE
from tests.end_to_end.releases.traffic import Traffic

pytestmark = pytest.mark.server
ROOT = Path(__file__).parents[3]
FROM_DISK = (f"--load-model={PIPELINE}",)
AT_ONCE = ("--baseline-s", "0")


@contextlib.contextmanager
def started_by_hand(options: Options, log: Path, *more: str) -> Iterator[subprocess.Popen]:
    """tritonserver itself, as a container would run it; killed at the end."""
    installation = install()
    line = [word for word in command(options, installation) if not word.startswith("--load-model")]
    with log.open("ab") as output:
        server = subprocess.Popen(
            [*line, *more],
            env=os.environ | dict(installation.environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield server
    finally:
        server.kill()
        server.wait()
        sweep(options.shm_prefix)


@pytest.fixture
def options(repository) -> Options:
    return control.options([PIPELINE], repository)


def test_a_server_without_our_supervisor_takes_every_step_and_is_restored_after_a_crash(
    options, repository, candidate, known, few, tmp_path
):
    url = f"{options.host}:{options.ports.grpc}"

    def run(verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "serving", "release", verb, PIPELINE, *words, "--url", url]
        # A state folder without a server: nothing here may be found but by its address.
        line += ["--repository", str(repository), "--state", str(tmp_path / "none")]
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True)

    def release(verb: str, *words: str) -> str:
        done = run(verb, *words)
        assert done.returncode == 0, f"{verb}: {done.stdout}{done.stderr}"
        return done.stdout

    def live() -> str:
        with Client(url) as client:
            return known.who(known.ask(client))

    def up() -> bool:
        with Client(url, retries=None) as client:
            return client.status().live

    with started_by_hand(options, tmp_path / "log", *FROM_DISK):
        until(lambda: up() and live() == OLD, "the server to answer")
        with Traffic(url, known) as traffic:
            traffic.some_more()
            release("prepare", "--from", str(candidate))
            checked = run("check", "--golden", str(few))
            verdict = Store(repository).read(PIPELINE).release(2).check
            assert verdict is not None, checked.stderr
            assert [fault for fault in verdict.faults if not fault.startswith("latency")] == []
            traffic.some_more()
            assert traffic.seen == [OLD]
            release("flip", "--force", "a busy machine may fail a check for latency", *AT_ONCE)
            assert live() == NEW
            release("rollback", "--why", "and back")
            assert live() == OLD
            release("flip", "2", "--why", "forth again", *AT_ONCE)
            traffic.some_more()
        assert traffic.errors == []
        assert traffic.seen == [OLD, NEW, OLD, NEW]

    with started_by_hand(options, tmp_path / "log"):  # killed above; here as documented: empty
        until(up, "the server to answer")
        release("restore")
        assert live() == NEW
        release("rollback", "--why", "from a server that was restored")
        assert live() == OLD

    with started_by_hand(options, tmp_path / "log", *FROM_DISK):  # and by somebody who did not read that
        until(lambda: up() and live() == NEW, "the newest version folders to answer")
        release("restore")
        assert live() == OLD
        release("retire", "2", "--delete")
        assert live() == OLD
    assert Store(repository).read(PIPELINE).release(2).state == "retired"
    assert not {(model, 2) for model in CHANGED} & version_folders(repository)
