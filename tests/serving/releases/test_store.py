"""`releases.json`: what goes in comes out, one writer at a time, in one step."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from serving.releases import record
from serving.releases.record import Check, Member, Pending, Pipeline, Release
from serving.releases.store import Busy, Store, whoami

FIRST = Release(
    number=1,
    state="released",
    members={"gate": Member(1), "head": Member(1, {"model.onnx": "a" * 64}, "b" * 64)},
    changed=(),
    source="/repository",
    by="ann@bench",
    why="what the repository held",
    time="2026-01-02T03:04:05+00:00",
)
VERDICT = Check(
    False, "2026-01-02T03:05:05+00:00", ".releases/inspection/2/check.html", ("slow",), {"p50": 1}
)
SECOND = replace(
    FIRST, number=2, state="rejected", members={"gate": Member(1), "head": Member(2)}, changed=("head",)
)
RECORD = Pipeline("cpu", active=1, previous=None, releases={}, highest={}).with_release(FIRST)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_what_is_written_is_read(store):
    written = replace(
        RECORD.with_release(replace(SECOND, check=VERDICT, forced="we know better")),
        previous=2,
        pending=Pending("flip", 2, "ann@bench", record.now()),
    ).with_event("flip", 2, "ann@bench", "1 -> 2", {"control_ms": 4.5})
    store.write("inspection", written)
    assert store.read("inspection") == written


def test_pipelines_share_a_file_and_leave_each_other_alone(store):
    store.write("inspection", RECORD)
    store.write("quality", replace(RECORD, target="gpu"))
    assert store.read("inspection") == RECORD
    assert list(store.read_all()) == ["inspection", "quality"]


def test_nothing_released_is_nothing_known(store):
    assert store.read_all() == {}
    assert store.read("inspection") is None


def test_the_highest_number_stays_when_a_release_is_replaced(store):
    later = RECORD.with_release(replace(SECOND, members={"head": Member(7)}))
    assert later.with_release(replace(SECOND, state="abandoned")).highest == {"gate": 1, "head": 7}


def test_the_versions_come_in_the_order_of_the_steps():
    assert list(SECOND.versions.items()) == [("gate", 1), ("head", 2)]


def test_an_unknown_release_is_told_with_those_there_are():
    with pytest.raises(LookupError, match=r"release: expected one of 1, 2, got 3; `release log` lists them"):
        RECORD.with_release(SECOND).release(3)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"schema": 1, "pipelines": {"inspection": {}}}', '{"schema": 99}']
)
def test_a_file_that_we_did_not_write_is_told_with_what_to_do(store, text):
    store.path.write_text(text)
    with pytest.raises(ValueError) as refused:
        store.read("inspection")
    told = str(refused.value)
    assert told.startswith(f"{store.path}: expected the releases of this repository, got ")
    assert told.endswith(
        "; restore the file from a backup, or move it away to begin anew with what the newest version "
        "folders hold"
    )


def test_a_broken_file_is_not_written_over(store):
    store.path.write_text("{")
    with pytest.raises(ValueError, match="expected the releases of this repository"):
        store.write("inspection", RECORD)
    assert store.path.read_text() == "{"


def test_a_draft_that_was_never_finished_harms_nobody(store):
    store.write("inspection", RECORD)
    (store.folder / "releases.json.draft").write_text('{"schema": 1, "pipel')
    assert store.read("inspection") == RECORD
    store.write("inspection", RECORD.with_release(SECOND))
    assert store.read("inspection") == RECORD.with_release(SECOND)
    assert sorted(path.name for path in store.folder.iterdir()) == []


def test_what_json_cannot_say_is_refused_and_the_file_stays(store):
    store.write("inspection", RECORD)
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.write("inspection", RECORD.with_event("check", 1, "ann", "odd", {"p50_ms": float("nan")}))
    assert store.read("inspection") == RECORD


def test_the_file_can_be_read_by_people(store):
    store.write("inspection", RECORD)
    content = json.loads(store.path.read_text())
    assert content["schema"] == 1
    assert content["pipelines"]["inspection"]["releases"]["1"]["members"]["head"]["version"] == 1


def test_the_second_who_wants_to_change_something_is_told_who_is_at_it(store):
    with store.locked("prepare"):
        assert store.holder() is not None
        with pytest.raises(Busy) as told, Store(store.repository).locked("flip"):
            pass
    assert f"`release prepare` by {whoami()} (process {os.getpid()}) since " in str(told.value)
    assert str(told.value).endswith("is at work; wait for the end of that, then try again")


def test_the_lock_is_free_again_afterwards(store):
    with pytest.raises(OSError, match="full"), store.locked("prepare"):
        raise OSError("full")
    assert store.holder() is None
    with store.locked("flip"):
        pass


def test_a_killed_holder_lets_go(store):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with store.locked("prepare"):
            os.write(writing, b"!")
            signal.pause()
    os.read(reading, 1)
    assert store.holder() is not None
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)
    assert store.holder() is None
    with store.locked("flip"):
        pass
