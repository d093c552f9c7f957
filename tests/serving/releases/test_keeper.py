"""A supervised server stays at the active release, whatever moves it or ends it."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import serving
from serving.processes import stubs
from serving.releases.live import Live
from serving.releases.residents import trim
from serving.releases.store import Store
from tests.serving.releases.small_pipeline import (
    FIRST,
    NEW,
    OLD,
    PAIR,
    SECOND,
    Stage,
    record_of,
    release,
    write_engine,
    write_repository,
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return write_repository(tmp_path / "models")


@pytest.fixture
def server(repository: Path) -> Iterator[tuple[serving.Address, Stage]]:
    """Release 1 is live although version 2 is newer, release 2 is the one to go back to."""
    store = Store(repository)
    store.write(PAIR, record_of(release(1), release(2), active=1, previous=2))
    with serving.running([PAIR], repository) as address, Live(address.grpc, repository) as live:
        yield address, Stage(live, store)


@pytest.mark.server
def test_without_releases_the_newest_versions_are_served_pinned_and_nothing_is_written(repository):
    with serving.running([PAIR], repository) as address, Live(address.grpc, repository) as live:
        stage = Stage(live, Store(repository))
        assert live.pinned(PAIR) == SECOND
        assert stage.answer() == NEW
        assert stage.resident() == {"first": {2}, "second": {2}}
    assert not stage.store.path.exists()
    assert not stage.store.folder.exists()


@pytest.mark.server
def test_a_server_starts_and_comes_back_from_a_crash_with_the_active_release_and_the_one_before(
    server, eventually
):
    address, stage = server
    assert stage.answer() == OLD
    assert stage.resident() == {"first": {1, 2}, "second": {1, 2}}
    os.kill(address.state().server_pid, signal.SIGKILL)
    eventually(lambda: address.state().restarts == 1 and address.state().phase == "ready")
    assert stage.answer() == OLD
    assert stage.resident() == {"first": {1, 2}, "second": {1, 2}}


@pytest.mark.server
def test_pins_that_differ_from_the_record_come_back_unless_somebody_is_at_work(server, eventually):
    address, stage = server
    with stage.store.locked("flip"):
        stage.live.pin(PAIR, SECOND)
        stage.store.write(PAIR, stage.record)
        assert stage.answer() == NEW
    eventually(lambda: stage.live.pinned(PAIR) == FIRST)
    assert stage.answer() == OLD
    stage.live.unpin(PAIR)
    eventually(lambda: stage.live.pinned(PAIR) == FIRST)
    eventually(lambda: "release 1 is live again" in (address.folder / "supervisor.log").read_text())
    text = (address.folder / "supervisor.log").read_text()
    assert "pair was pinned to first 2, second 2; release 1 is live again" in text
    assert address.state().restarts == 0


@pytest.mark.server
def test_a_release_that_cannot_be_restored_is_said_once_and_the_server_lives_on(server, eventually):
    address, stage = server
    write_engine(stage.store.repository, "first", 3, None)
    write_engine(stage.store.repository, "second", 3, 1.0)
    stage.store.write(PAIR, record_of(release(1), release(3), active=3))
    log = address.folder / "supervisor.log"
    eventually(lambda: "the active release could not be restored: first version 3: " in log.read_text())
    stage.store.write(PAIR, record_of(release(1)))
    assert stage.answer() == OLD
    assert log.read_text().count("could not be restored") == 1
    assert address.state().restarts == 0


@pytest.mark.server
def test_a_candidate_whose_backend_process_crashes_does_not_take_the_live_release_down(server, eventually):
    address, stage = server
    before = address.state()
    for model in FIRST:
        write_engine(stage.store.repository, model, 3, 1.0)
    stage.store.write(PAIR, stage.record.with_release(release(3, "prepared")))
    stage.live.hold({"first": [1, 2, 3], "second": [1, 2, 3]})
    processes = stubs(before.shm_prefix).values()
    victim = next(stub for stub in processes if (stub.model, stub.version) == ("second", "3"))
    time.sleep(1.0)  # the supervisor looks for processes twice a second, and misses only those that it saw
    os.kill(victim.pid, signal.SIGKILL)
    log = address.folder / "supervisor.log"
    eventually(lambda: f"{victim} died; no answer needs version 3 of second" in log.read_text())
    assert stage.answer() == OLD
    trim(stage.store, stage.live, PAIR)
    eventually(lambda: stage.resident() == {"first": {1, 2}, "second": {1, 2}})
    assert stage.answer() == OLD
    assert address.state().server_pid == before.server_pid


@pytest.mark.server
def test_a_previous_release_that_is_damaged_does_not_keep_the_active_one_from_serving(repository):
    write_engine(repository, "second", 2, None)
    store = Store(repository)
    store.write(PAIR, record_of(release(1), release(2), active=1, previous=2))
    with serving.running([PAIR], repository) as address, Live(address.grpc, repository) as live:
        assert Stage(live, store).answer() == OLD
        assert (
            "release 2, the previous one, is not loaded: second version 2"
            in (address.folder / "supervisor.log").read_text()
        )


@pytest.mark.server
def test_a_server_whose_active_release_does_not_load_says_why_and_does_not_start(repository):
    write_engine(repository, "second", 2, None)
    Store(repository).write(PAIR, record_of(release(1), release(2), active=2, previous=1))
    with (
        pytest.raises(RuntimeError, match=r"did not load its models\nsecond version 2: .* cannot load it"),
        serving.running([PAIR], repository),
    ):
        raise AssertionError("it started")


@pytest.mark.server
def test_a_server_of_another_target_than_the_releases_does_not_start(repository):
    record = record_of(release(1))
    Store(repository).write(PAIR, type(record)(**vars(record) | {"target": "gpu"}))
    with (
        pytest.raises(
            RuntimeError, match="pair: expected a server for gpu, which its releases were made for"
        ),
        serving.running([PAIR], repository),
    ):
        raise AssertionError("it started")
