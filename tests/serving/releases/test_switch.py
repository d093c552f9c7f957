"""Which release is live: changed in one step, taken back in one step, and never left in between."""

import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import serving
from serving.releases.live import CANARY, REHEARSAL, Live, Unreachable
from serving.releases.record import Pending, Pipeline, now
from serving.releases.residents import refresh
from serving.releases.store import Store
from serving.releases.switch import flip, resident_versions, retire, rollback, settle, trim
from serving.server import free_ports
from tests.serving.releases.small_pipeline import (
    FIRST,
    NEW,
    OLD,
    PAIR,
    SECOND,
    Stage,
    record_of,
    release,
    serving_pair,
    set_up,
    two_releases,
    write_engine,
    write_repository,
)

ME = "me@here"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def live(repository: Path) -> Iterator[Live]:
    with serving_pair(repository) as live:
        yield live


@pytest.fixture
def stage(live: Live) -> Iterator[Stage]:
    """Release 1 is live, release 2 waits; under the lock, like every step, so the supervisor stays out."""
    with Store(live.repository).locked("test"):
        stage = set_up(live)
        yield stage
        stage.store.path.unlink()


class Failing(Store):
    """A disk that is full from the second write on: the first says that a change began."""

    def write(self, pipeline: str, changed: Pipeline) -> Pipeline:
        if changed.pending is None:
            raise OSError(28, "No space left on device")
        return super().write(pipeline, changed)


class Interrupted(Store):
    """Somebody presses Ctrl-C after the server took the new set and before the record says so."""

    def write(self, pipeline: str, changed: Pipeline) -> Pipeline:
        if changed.active == 2:
            raise KeyboardInterrupt
        return super().write(pipeline, changed)


@dataclass(frozen=True)
class Killing(Store):
    """The server dies of signal 9 right after the note that a change began."""

    pid: int = 0

    def write(self, pipeline: str, changed: Pipeline) -> Pipeline:
        super().write(pipeline, changed)
        os.kill(self.pid, signal.SIGKILL)
        return changed


def test_a_server_holds_the_active_and_the_previous_release_and_what_is_asked_for_beside():
    record = record_of(*map(release, (1, 2, 3)), active=2, previous=1)
    assert resident_versions(record) == {"first": [1, 2], "second": [1, 2]}
    assert resident_versions(record, [3]) == {"first": [1, 2, 3], "second": [1, 2, 3]}
    assert resident_versions(replace(record, previous=None)) == {"first": [2], "second": [2]}


@pytest.mark.parametrize(
    ("state", "passed", "message"),
    [
        ("prepared", None, r"expected one that passed its check, it is not checked; run `release check`"),
        ("rejected", False, r"its check failed \(see \.releases/pair/2/check\.html\)"),
        ("retired", True, "expected one that is on disk, it is retired; prepare its engines again"),
        ("preparing", None, "expected one that is on disk, it is preparing"),
    ],
)
def test_a_release_that_nobody_has_reason_to_believe_in_does_not_go_live(tmp_path, state, passed, message):
    store = Store(tmp_path)
    store.write(PAIR, record_of(release(1), release(2, state, passed)))
    with Live("127.0.0.1:1", tmp_path) as nobody, pytest.raises(RuntimeError, match=message):
        flip(store, nobody, PAIR, 2, by=ME, why="")


def test_a_release_that_would_take_back_what_went_live_meanwhile_is_prepared_anew(tmp_path):
    other_half = replace(release(3, "checked", True), changed=("second",))
    members = {"first": release(1).members["first"], "second": other_half.members["second"]}
    other_half = replace(other_half, members=members)
    store = Store(tmp_path)
    store.write(PAIR, record_of(release(1), release(2), other_half, active=2, previous=1))
    message = (
        "release 3: expected one prepared beside release 2, it is older and would take back "
        "first from 2 to 1; prepare its engines again, or say --force and why"
    )
    with Live("127.0.0.1:1", tmp_path) as nobody, pytest.raises(RuntimeError, match=message):
        flip(store, nobody, PAIR, 3, by=ME, why="")
    assert store.read(PAIR).left_behind(release(1)) == "", "back to what was live is meant"


def test_a_release_whose_files_are_gone_is_refused_before_anything_is_touched(tmp_path):
    store = Store(write_repository(tmp_path / "models"))
    before = store.write(PAIR, two_releases())
    (store.repository / "first" / "2" / "model.onnx").unlink()
    shutil.rmtree(store.repository / "second" / "2")
    message = r"expected its files on disk, first/2/model\.onnx; second/2/model\.onnx is not there"
    with Live("127.0.0.1:1", tmp_path) as nobody, pytest.raises(RuntimeError, match=message):
        flip(store, nobody, PAIR, 2, by=ME, why="")
    assert store.read(PAIR) == before


def test_without_a_server_nothing_is_written(tmp_path):
    store = Store(write_repository(tmp_path / "models"))
    before = store.write(PAIR, two_releases())
    with Live(f"127.0.0.1:{free_ports(1)[0]}", store.repository) as nobody, pytest.raises(Unreachable):
        flip(store, nobody, PAIR, 2, by=ME, why="")
    assert store.read(PAIR) == before


def test_numbers_and_pipelines_that_are_not_there_are_said(tmp_path):
    store = Store(tmp_path)
    with Live("127.0.0.1:1", tmp_path) as nobody:
        with pytest.raises(RuntimeError, match="pair: expected releases, there are none yet; begin with"):
            flip(store, nobody, PAIR, 2, by=ME, why="")
        store.write(PAIR, record_of(release(1)))
        with pytest.raises(LookupError, match="expected one of 1, got 7"):
            flip(store, nobody, PAIR, 7, by=ME, why="")
        with pytest.raises(RuntimeError, match="expected a release before 1 to go back to, there is none"):
            rollback(store, nobody, PAIR, by=ME, why="")


@pytest.mark.server
def test_a_flip_brings_the_whole_set_and_writes_down_who_and_why(stage):
    done = flip(stage.store, stage.live, PAIR, 2, by=ME, why="better on porosity")
    assert (stage.answer(), done.changed) == (NEW, True)
    assert done.text == "release 2 is live, instead of 1"
    assert done.record == stage.record
    assert (stage.record.active, stage.record.previous, stage.record.pending) == (2, 1, None)
    assert stage.record.release(2).state == "released"
    event = stage.record.history[-1]
    assert (event.verb, event.release, event.by, event.text) == ("flip", 2, ME, "better on porosity")
    assert event.figures["from"] == 1
    assert 0 < event.figures["control_ms"] < event.figures["whole_ms"] < done.whole_ms
    assert stage.live.pinned(PAIR + REHEARSAL) is None


@pytest.mark.server
def test_a_rollback_brings_the_old_set_back_once_however_often_it_is_asked_for(stage):
    flip(stage.store, stage.live, PAIR, 2, by=ME, why="")
    assert rollback(stage.store, stage.live, PAIR, by=ME, why="too many misses").changed
    assert stage.answer() == OLD
    again = rollback(stage.store, stage.live, PAIR, by=ME, why="too many misses")
    assert not again.changed
    assert again.text.startswith("release 1 is live since the rollback of 20")
    assert stage.answer() == OLD
    assert (stage.record.active, stage.record.previous) == (1, None)


@pytest.mark.server
def test_a_flip_to_what_is_live_does_nothing_but_makes_sure_of_it(stage):
    stage.live.pin(PAIR, SECOND)
    done = flip(stage.store, stage.live, PAIR, 1, by=ME, why="")
    assert (done.changed, done.text) == (False, "release 1 is live already; nothing to do")
    assert stage.answer() == OLD


@pytest.mark.server
def test_a_release_that_failed_its_check_goes_live_only_with_a_reason_which_stays_on_record(stage):
    stage.store.write(PAIR, record_of(release(1), release(2, "rejected", passed=False)))
    flip(stage.store, stage.live, PAIR, 2, by=ME, why="", force="the golden set is stale")
    assert stage.answer() == NEW
    assert stage.record.release(2).forced == "the golden set is stale"


@pytest.mark.server
def test_a_release_that_is_not_resident_is_loaded_first(stage, eventually):
    stage.live.hold({"first": [1], "second": [1]})
    eventually(lambda: stage.resident() == {"first": {1}, "second": {1}})
    flip(stage.store, stage.live, PAIR, 2, by=ME, why="")
    assert stage.answer() == NEW
    assert stage.resident() == {"first": {1, 2}, "second": {1, 2}}


@pytest.mark.server
def test_a_release_that_does_not_load_leaves_the_live_one_alone(stage):
    broken = [write_engine(stage.store.repository, "first", 3, 1.0)]
    broken += [write_engine(stage.store.repository, "second", 3, None)]
    stage.store.write(PAIR, record_of(release(1), release(3, "checked", passed=True)))
    with pytest.raises(
        RuntimeError, match=r"second version 3: .* cannot load it(.|\n)*release 1 stayed live"
    ):
        flip(stage.store, stage.live, PAIR, 3, by=ME, why="")
    assert stage.answer() == OLD
    assert (stage.record.active, stage.record.pending) == (1, None)
    assert stage.record.release(3).state == "checked"
    assert (stage.record.history[-1].verb, stage.record.history[-1].release) == ("flip failed", 3)
    for folder in broken:
        shutil.rmtree(folder)


@pytest.mark.server
def test_a_change_that_cannot_be_written_down_is_taken_back(stage):
    full = Failing(stage.store.repository)
    with pytest.raises(
        RuntimeError, match=r"No space left on device(.|\n)*release 1 stayed live; that could"
    ):
        flip(full, stage.live, PAIR, 2, by=ME, why="")
    assert stage.answer() == OLD
    assert settle(stage.store, stage.live, PAIR, ME) == stage.record
    assert stage.record.pending is None


@pytest.mark.server
def test_an_interrupted_change_is_taken_back(stage):
    with pytest.raises(KeyboardInterrupt):
        flip(Interrupted(stage.store.repository), stage.live, PAIR, 2, by=ME, why="")
    assert stage.answer() == OLD
    assert (stage.record.active, stage.record.pending) == (1, None)
    assert stage.record.history[-1].text == "KeyboardInterrupt; release 1 stayed live"


@pytest.mark.server
@pytest.mark.parametrize("pins", [FIRST, SECOND], ids=["before the load", "after the load"])
def test_a_change_that_a_crash_left_half_done_is_undone_by_the_next_step(stage, pins):
    stage.live.pin(PAIR, pins)
    stage.live.pin(PAIR, SECOND, PAIR + REHEARSAL)
    stage.store.write(PAIR, replace(stage.record, pending=Pending("flip", 2, "somebody@there", now())))
    settled = settle(stage.store, stage.live, PAIR, ME)
    assert stage.answer() == OLD
    assert settled == stage.record
    assert stage.live.pinned(PAIR + REHEARSAL) is None
    event = stage.record.history[-1]
    assert (event.verb, event.release, event.by) == ("undone", 2, ME)
    assert event.text == (
        "the flip to release 2 by somebody@there did not finish; release 1 is live, as it was"
    )


@pytest.mark.server
def test_a_step_without_a_server_leaves_a_pending_change_to_one_that_has_it(stage):
    pending = Pending("flip", 2, "somebody@there", now())
    stage.store.write(PAIR, replace(stage.record, pending=pending))
    assert settle(stage.store, None, PAIR, ME) == stage.record
    assert stage.record.pending == pending


@pytest.mark.server
def test_what_nobody_needs_is_unloaded_and_what_a_canary_or_another_pipeline_uses_is_not(stage, eventually):
    stage.live.pin(PAIR, SECOND, PAIR + CANARY)
    assert trim(stage.store, stage.live, PAIR) == {"first": [1, 2], "second": [1, 2]}
    stage.live.unpin(PAIR + CANARY)
    other = record_of(replace(release(1, version=2), members={"first": release(2).members["first"]}))
    stage.store.write("other", other)
    assert trim(stage.store, stage.live, PAIR) == {"first": [1, 2], "second": [1]}
    eventually(lambda: stage.resident() == {"first": {1, 2}, "second": {1}})
    assert stage.answer() == OLD


@pytest.mark.server
def test_what_is_no_longer_on_disk_does_not_stand_in_the_way_of_the_next_load(stage, eventually):
    gone = write_engine(stage.store.repository, "second", 5, 1.0)
    stage.live.hold({"first": [1, 2], "second": [1, 2, 5]})
    shutil.rmtree(gone)
    refresh(stage.live, FIRST, SECOND)
    eventually(lambda: stage.resident()["second"] == {1, 2})
    assert stage.answer() == OLD


@pytest.mark.server
def test_retiring_unloads_what_was_live_before_and_ends_its_canary(stage, eventually):
    stage.store.write(PAIR, record_of(release(1), release(2), active=1))
    stage.live.pin(PAIR, SECOND, PAIR + CANARY)
    record = retire(stage.store, stage.live, PAIR, by=ME)
    assert record == stage.record
    assert record.release(2).state == "retired"
    assert record.history[-1].verb == "retire"
    assert stage.live.pinned(PAIR + CANARY) is None
    eventually(lambda: stage.resident() == {"first": {1}, "second": {1}})
    assert retire(stage.store, stage.live, PAIR, by=ME) == record


@pytest.mark.server
@pytest.mark.parametrize(("number", "what"), [(2, "active"), (1, "previous")])
def test_what_is_needed_is_not_retired(stage, number, what):
    stage.store.write(PAIR, record_of(release(1), release(2), active=2, previous=1))
    with pytest.raises(RuntimeError, match=f"release {number}: expected .* it is the {what} one"):
        retire(stage.store, stage.live, PAIR, [number], by=ME)


@pytest.mark.server
def test_a_server_that_dies_within_a_flip_comes_back_with_what_is_on_record(tmp_path, eventually):
    repository = write_repository(tmp_path / "models")
    with serving.running([PAIR], repository) as address, Live(address.grpc, repository) as live:
        stage = Stage(live, Killing(repository, address.state().server_pid))
        Store(repository).write(PAIR, two_releases())
        with pytest.raises(RuntimeError, match="the server is gone; release 1 is what it has to serve when"):
            flip(stage.store, live, PAIR, 2, by=ME, why="")
        assert stage.record.pending is not None
        eventually(lambda: address.state().restarts == 1 and address.state().phase == "ready")
        assert stage.answer() == OLD
        assert settle(Store(repository), live, PAIR, ME) == stage.record
        assert (stage.record.active, stage.record.pending) == (1, None)
