"""The files of a release that nobody needs go, and nothing else does, whenever the tool is killed."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from serving.releases.prepare import discard
from serving.releases.store import Store
from tests.serving.releases.prepared_sets import assert_every_version_is_whole, bring, deaths, with_state
from tests.serving.releases.small_sets import (
    PIPELINE,
    version_folders,
    write_repository,
    write_set,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(write_repository(tmp_path / "repository"))


@pytest.fixture
def source(tmp_path: Path, store: Store) -> Path:
    return write_set(tmp_path / "export", store.repository, 2.0)


def test_discarding_deletes_what_only_that_release_used(store, source, tmp_path):
    bring(store, source)
    with_state(store, 2, "retired")
    third = write_set(tmp_path / "third", store.repository, 3.0)
    bring(store, third)
    record = discard(store, PIPELINE, 2)
    assert version_folders(store.repository) == {"gate": ["1"], "encoder": ["1", "3"], "head": ["1", "3"]}
    event = record.history[-1]
    assert (event.verb, event.release, event.text) == ("discard", 2, "encoder 2, head 2")
    assert discard(store, PIPELINE, 2) == record


def test_discarding_the_adopted_release_leaves_the_checkout_what_git_has_of_it(store, source, tmp_path):
    for model in ("encoder", "head"):
        (store.repository / model / "1" / ".gitkeep").touch()
    bring(store, source)
    record = store.read(PIPELINE)
    store.write(PIPELINE, dataclasses.replace(record, active=2, previous=None))
    with_state(store, 1, "retired")
    discard(store, PIPELINE, 1)
    left = sorted(path.relative_to(store.repository) for path in store.repository.glob("*/1/*"))
    assert [str(path) for path in left] == ["encoder/1/.gitkeep", "head/1/.gitkeep"]
    assert version_folders(store.repository)["gate"] == ["1"], "code under git is no engine"
    assert not (store.folder / "staging").exists()


def test_what_another_release_names_is_kept_until_that_is_discarded_too(store, source, tmp_path):
    bring(store, source)
    with_state(store, 2, "released", active=2, previous=1)
    head = write_set(tmp_path / "head", store.repository, 3.0, ("head",))
    assert bring(store, head).release(3).versions == {"gate": 1, "encoder": 2, "head": 3}
    with_state(store, 2, "retired", active=1, previous=None)
    discard(store, PIPELINE, 2)
    assert version_folders(store.repository) == {"gate": ["1"], "encoder": ["1", "2"], "head": ["1", "3"]}
    with_state(store, 3, "rejected")
    discard(store, PIPELINE, 3)
    assert version_folders(store.repository) == {"gate": ["1"], "encoder": ["1"], "head": ["1"]}


def test_what_another_pipeline_names_is_kept(store, source):
    record = bring(store, source)
    with_state(store, 2, "retired")
    store.write("another", record)
    assert discard(store, PIPELINE, 2).history[-1].text == "nothing: others use all of it"
    assert version_folders(store.repository)["head"] == ["1", "2"]


@pytest.mark.parametrize(
    ("number", "state", "told"),
    [(1, "released", "live"), (2, "prepared", "prepared"), (2, "checked", "checked")],
)
def test_a_release_that_somebody_may_need_is_not_discarded(store, source, number, state, told):
    bring(store, source)
    with_state(store, number, state)
    with pytest.raises(
        ValueError, match=f"release {number}: expected one that is retired, .* that is {told}; "
    ):
        discard(store, PIPELINE, number)


def test_the_release_to_roll_back_to_is_not_discarded(store, source):
    bring(store, source)
    with_state(store, 2, "rejected", previous=2)
    with pytest.raises(ValueError, match="release 2: expected one that is retired"):
        discard(store, PIPELINE, 2)


def test_a_pipeline_without_releases_has_nothing_to_discard(store):
    with pytest.raises(
        LookupError, match="inspection: expected a pipeline that has releases, got one without"
    ):
        discard(store, PIPELINE, 1)


def test_discarding_can_be_killed_anywhere(store, source, tmp_path):
    bring(store, source)
    with_state(store, 2, "retired")
    fresh = shutil.copytree(store.repository, tmp_path / "fresh")
    count = 0
    for _ in deaths(store, fresh, lambda store, pass_by: discard(store, PIPELINE, 2)):
        count += 1
        assert_every_version_is_whole(store)
        discard(store, PIPELINE, 2)
        assert version_folders(store.repository) == {"gate": ["1"], "encoder": ["1"], "head": ["1"]}
        assert not (store.folder / "staging").exists()
    assert count > 8
