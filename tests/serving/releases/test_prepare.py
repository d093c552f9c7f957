"""A set comes into the repository whole or not at all, whenever the tool is killed."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from export import manifest
from serving.releases.prepare import adopt, find, undo_unfinished
from serving.releases.record import Member, Pipeline
from serving.releases.store import Store
from tests.serving.releases.prepared_sets import (
    PLENTY,
    assert_every_version_is_whole,
    bring,
    deaths,
    with_state,
)
from tests.serving.releases.small_sets import (
    PIPELINE,
    describe,
    version_folders,
    write_engine,
    write_model,
    write_repository,
    write_set,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(write_repository(tmp_path / "repository"))


@pytest.fixture
def source(tmp_path: Path, store: Store) -> Path:
    return write_set(tmp_path / "export", store.repository, 2.0)


def states(record: Pipeline) -> list[str]:
    return [release.state for release in record.releases.values()]


def everything(folder: Path) -> dict[str, bytes]:
    """Every file of a repository that a server or the record could look at."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def test_a_plain_repository_becomes_release_1(store):
    record = adopt(store, PIPELINE, "cpu", "ann@bench")
    first = record.release(1)
    assert (record.active, record.previous, record.target) == (1, None, "cpu")
    assert first.versions == {"gate": 1, "encoder": 1, "head": 1}
    assert first.members["gate"] == Member(1)
    engine = store.repository / "head" / "1" / "model.onnx"
    assert first.members["head"] == Member(1, {"model.onnx": manifest.sha256(engine)}, "1")
    assert (first.state, first.changed, first.check) == ("released", (), None)
    assert [event.verb for event in record.history] == ["adopt"]
    assert store.read(PIPELINE) == record


def test_the_newest_version_of_each_model_is_adopted(store):
    write_engine(store.repository / "head" / "12", "head", 3.0, store.repository)
    write_engine(store.repository / "head" / "9", "head", 4.0, store.repository)
    assert adopt(store, PIPELINE, "cpu", "ann").release(1).versions["head"] == 12


def test_what_is_known_is_not_adopted_again(store):
    first = adopt(store, PIPELINE, "cpu", "ann@bench")
    write_engine(store.repository / "head" / "2", "head", 3.0, store.repository)
    assert adopt(store, PIPELINE, "cpu", "bob@bench") == first


def test_a_record_of_another_target_is_not_mixed_with(store, source):
    adopt(store, PIPELINE, "cpu", "ann@bench")
    for refused in (lambda: adopt(store, PIPELINE, "gpu", "ann"), lambda: bring(store, source, target="gpu")):
        with pytest.raises(
            ValueError, match="expected target cpu, which its releases were made for, got gpu"
        ):
            refused()


def test_a_repository_that_could_not_be_served_is_not_adopted(store):
    (store.repository / "head" / "1" / "model.onnx").unlink()
    with pytest.raises(RuntimeError, match=r"head/1/model\.onnx is missing"):
        adopt(store, PIPELINE, "cpu", "ann@bench")
    assert store.read_all() == {}


def test_a_broken_manifest_is_not_adopted(store):
    (store.repository / "head" / "1" / "manifest.json").write_text('{"files": 3}')
    with pytest.raises(RuntimeError, match=r"head/1/manifest.json: expected a manifest, got "):
        adopt(store, PIPELINE, "cpu", "ann@bench")


def test_a_prepared_set_lies_under_the_next_numbers_with_its_manifest(store, source):
    record = bring(store, source)
    release = record.release(2)
    assert release.versions == {"gate": 1, "encoder": 2, "head": 2}
    assert (release.state, release.changed) == ("prepared", ("encoder", "head"))
    assert (release.by, release.why, release.source) == ("ann@bench", "retrained", str(source))
    for model in release.changed:
        folder = store.repository / model / "2"
        assert manifest.verify(folder) == []
        assert manifest.read(folder)["version"] == 2
        assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "model.onnx"]
    assert record.active == 1
    assert store.read(PIPELINE) == record


def test_nothing_stays_under_construction(store, source):
    bring(store, source)
    assert sorted(path.name for path in store.folder.iterdir()) == []


def test_the_history_says_who_brought_what_from_where(store, source):
    event = bring(store, source).history[-1]
    assert (event.verb, event.release, event.by) == ("prepare", 2, "ann@bench")
    assert event.text == f"encoder 2, head 2 from {source}"
    assert event.figures == {
        "bytes": sum((source / m / "model.onnx").stat().st_size for m in ("encoder", "head"))
    }


def test_progress_is_told_in_bytes_and_in_models(store, source):
    told = []
    bring(store, source, progress=lambda *step: told.append(step))
    total = sum((source / model / "model.onnx").stat().st_size for model in ("encoder", "head"))
    assert told[1:] == [("copying", total, total), ("renaming", 1, 2), ("renaming", 2, 2)]


def test_a_model_with_the_same_files_keeps_its_version(store, tmp_path):
    source = write_set(tmp_path / "export", store.repository, 1.0)
    describe(source / "encoder", "encoder", store.repository, weights="2")
    write_engine(source / "head", "head", 2.0, store.repository)
    release = bring(store, source).release(2)
    assert (release.versions, release.changed) == ({"gate": 1, "encoder": 1, "head": 2}, ("head",))
    assert version_folders(store.repository)["encoder"] == ["1"]
    assert release.members["encoder"].weights_sha256 == "2"


def test_what_only_a_gpu_can_open_is_left_to_the_check(store, tmp_path):
    write_model(store.repository, "head", "tensorrt", ("tokens", "scores"))
    (store.repository / "head" / "1" / "model.plan").write_bytes(b"made for another GPU")
    (tmp_path / "export" / "head").mkdir(parents=True)
    (tmp_path / "export" / "head" / "model.plan").write_bytes(b"made for this GPU")
    describe(tmp_path / "export" / "head", "head", store.repository, weights="2")
    record = bring(store, tmp_path / "export", target="gpu")
    assert record.history[-1].text == (
        f"head 2 from {tmp_path / 'export'}; only a GPU can open head/model.plan: check will prove them"
    )


def test_one_model_alone_is_a_set_of_one(store, tmp_path):
    source = write_set(tmp_path / "export", store.repository, 2.0, ("head",))
    assert bring(store, source).release(2).changed == ("head",)


def test_the_live_set_is_not_prepared_again(store, tmp_path):
    source = write_set(tmp_path / "export", store.repository, 1.0)
    with pytest.raises(
        ValueError, match="expected a set other than the live one, got release 1, which is al"
    ):
        bring(store, source)
    assert store.read_all() == {}


@pytest.mark.parametrize("state", ["prepared", "checked", "rejected"])
def test_a_set_that_waits_is_not_brought_twice(store, source, state):
    bring(store, source)
    waiting = with_state(store, 2, state)
    assert bring(store, source) == waiting
    assert find(store, PIPELINE, source, "cpu") == 2
    assert version_folders(store.repository)["head"] == ["1", "2"]


def test_a_set_that_was_retired_comes_back_under_new_numbers(store, source):
    bring(store, source)
    with_state(store, 2, "retired")
    assert find(store, PIPELINE, source, "cpu") is None
    assert bring(store, source).release(3).versions == {"gate": 1, "encoder": 3, "head": 3}


def test_numbers_on_disk_and_numbers_once_given_are_taken(store, source):
    known = adopt(store, PIPELINE, "cpu", "ann@bench")
    store.write(PIPELINE, replace(known, highest={"gate": 1, "encoder": 4, "head": 1}))
    (store.repository / "head" / "7").mkdir()
    assert bring(store, source).newest.versions == {"gate": 1, "encoder": 5, "head": 8}


def test_numbers_that_another_pipeline_gave_are_taken_too(store, source):
    other = replace(adopt(store, PIPELINE, "cpu", "ann"), highest={"head": 5})
    store.write("another", other)
    assert bring(store, source).newest.versions["head"] == 6


def test_too_little_room_is_told_before_anything_is_touched(store, source):
    before = everything(store.repository)
    with pytest.raises(RuntimeError, match="disk: expected 65 MiB free for a second resident set, got 1 MiB"):
        bring(store, source, room=replace(PLENTY, disk=1 << 20))
    with pytest.raises(RuntimeError, match="memory: expected 241 MiB free"):
        bring(store, source, room=replace(PLENTY, memory=1 << 20))
    assert everything(store.repository) == before


def test_a_faulty_set_is_told_before_anything_is_touched(store, source):
    before = everything(store.repository)
    (source / "head" / "model.onnx").write_bytes(b"")
    with pytest.raises(ValueError, match=r"head: .*model.onnx: expected \d+ bytes, got 0"):
        bring(store, source)
    assert everything(store.repository) == before


def test_a_source_that_changes_meanwhile_is_undone(store, source):
    def export_again(what: str, done: int, total: int) -> None:
        (source / "head" / "model.onnx").write_bytes(b"something else")

    with pytest.raises(
        RuntimeError, match=r"head: expected the files that were read a moment ago, .* has ch"
    ):
        bring(store, source, progress=export_again)
    record = store.read(PIPELINE)
    assert states(record) == ["released", "abandoned"]
    assert version_folders(store.repository)["encoder"] == ["1"]


def test_whoever_interrupts_it_leaves_nothing(store, source):
    def interrupt(what: str, done: int, total: int) -> None:
        if what == "renaming":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring(store, source, progress=interrupt)
    record = store.read(PIPELINE)
    assert record.history[-1].text == (
        "its preparation did not end; 1 of its 2 version folders had come, removed"
    )
    assert version_folders(store.repository) == {"gate": ["1"], "encoder": ["1"], "head": ["1"]}


def test_undoing_nothing_changes_nothing(store, source):
    assert undo_unfinished(store, PIPELINE) is None
    record = bring(store, source)
    before = everything(store.repository)
    assert undo_unfinished(store, PIPELINE) == record
    assert everything(store.repository) == before


def test_killed_anywhere_it_is_undone_and_its_numbers_stay_taken(store, source, tmp_path):
    adopt(store, PIPELINE, "cpu", "ann@bench")
    fresh = shutil.copytree(store.repository, tmp_path / "fresh")
    before = version_folders(store.repository)

    def work(store: Store, pass_by) -> None:
        bring(store, source, progress=lambda *step: pass_by())

    seen = set()
    for _ in deaths(store, fresh, work):
        assert_every_version_is_whole(store)
        found = states(store.read(PIPELINE))
        seen.add((tuple(found), len(version_folders(store.repository)["encoder"])))
        record = undo_unfinished(store, PIPELINE)
        assert not (store.folder / "staging").exists()
        if found[-1] == "prepared":
            assert bring(store, source) == record
        else:
            assert version_folders(store.repository) == before
            assert states(record) == (["released", "abandoned"] if found[-1] == "preparing" else ["released"])
            assert bring(store, source).newest.versions["head"] == record.highest["head"] + 1
    assert (("released",), 1) in seen
    assert (("released", "preparing"), 1) in seen
    assert (("released", "preparing"), 2) in seen


def test_the_undoing_can_be_killed_anywhere_too(store, source, tmp_path):
    before = version_folders(store.repository)
    bring(store, source)
    with_state(store, 2, "preparing")  # killed after the last rename, before the record said so
    (store.folder / "staging" / "2" / "head").mkdir(parents=True)
    fresh = shutil.copytree(store.repository, tmp_path / "fresh")
    count = 0
    for _ in deaths(store, fresh, lambda store, pass_by: undo_unfinished(store, PIPELINE)):
        count += 1
        assert_every_version_is_whole(store)
        assert states(undo_unfinished(store, PIPELINE)) == ["released", "abandoned"]
        assert version_folders(store.repository) == before
        assert not (store.folder / "staging").exists()
    assert count > 8
