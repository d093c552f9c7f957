"""The steps from Python: what each defaults to, refuses, records and repeats."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from serving.releases import Busy, NotPassed, Releases
from serving.releases.live import Live
from serving.releases.overview import next_step, verdict
from serving.releases.record import Check, Pending, Pipeline, now
from serving.releases.store import Store
from serving.releases.switch import Switched
from serving.releases.watch import Watched
from tests.serving.releases import small_sets
from tests.serving.releases.small_pipeline import (
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
    write_repository,
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return small_sets.write_repository(tmp_path / "repository")


@pytest.fixture
def releases(repository: Path) -> Releases:
    """Without a server, which is enough to prepare."""
    return Releases(small_sets.PIPELINE, repository, by="ann@here")


def test_preparing_gives_a_number_and_twice_the_same(releases, repository, tmp_path):
    source = small_sets.write_set(tmp_path / "set", repository, 2.0)
    new = releases.prepare(source, "retrained")
    assert (new.number, new.state, new.by, new.why) == (2, "prepared", "ann@here", "retrained")
    assert releases.prepare(source) == new
    assert [event.verb for event in releases.log()] == ["adopt", "prepare"]
    assert not releases.status().server


def test_preparing_what_is_live_already_is_no_error(releases, repository, tmp_path):
    releases.prepare(small_sets.write_set(tmp_path / "new", repository, 2.0))
    live = small_sets.write_set(tmp_path / "live", repository, 1.0)
    assert releases.prepare(live).number == 1


@pytest.mark.parametrize("verb", ["check", "flip", "rollback", "watch", "retire", "restore"])
def test_a_step_that_needs_a_server_says_so(releases, verb):
    with pytest.raises(RuntimeError, match="server: expected a running one, found none; start it with"):
        getattr(releases, verb)()


def test_a_second_operator_is_told_who_is_at_work(releases, repository, tmp_path):
    source = small_sets.write_set(tmp_path / "set", repository, 2.0)
    with releases.store.locked("flip"), pytest.raises(Busy, match=r"`release flip` by .* is at work; wait"):
        releases.prepare(source)
    assert releases.prepare(source).number == 2


@dataclass(frozen=True)
class Told(Releases):
    """Writes down which steps `run` takes, and takes none of them."""

    steps: list[str] = field(default_factory=list)
    passes: bool = True
    stays: bool = True
    live: int = 1

    def prepare(self, source, why=""):
        self.steps.append(f"prepare {source}")
        return self.store.read(PAIR).release(2)

    def check(self, number=None):
        self.steps.append(f"check {number}")
        faults = () if self.passes else ("accuracy: lost", "class order: renamed")
        verdict = Check(self.passes, now(), "check.html", faults)
        return replace(self.store.read(PAIR).release(2), check=verdict)

    def flip(self, number=None, *, why="", force="", baseline_s=0.0):
        self.steps.append(f"flip {number} {force} after {baseline_s:.0f} s".replace("  ", " "))
        return Switched(self.store.read(PAIR), "")

    def watch(self, seconds=60.0):
        self.steps.append(f"watch {seconds:.0f} s")
        record = replace(self.store.read(PAIR), active=2 if self.stays else 1)
        return Watched(record, 2, "wrong answers", breached=not self.stays)


def told(folder: Path, active: int = 1, **options: bool) -> Told:
    record = record_of(release(1), release(2, "prepared"), active=active)
    Store(folder).write(PAIR, record)
    return Told(PAIR, folder, **options)


def test_a_run_is_prepare_check_flip_watch(tmp_path):
    releases = told(tmp_path)
    assert releases.run("set", baseline_s=3, seconds=20).passed
    assert releases.steps == ["prepare set", "check 2", "flip 2 after 3 s", "watch 20 s"]


def test_a_run_ends_at_a_check_that_did_not_pass_unless_forced(tmp_path):
    releases = told(tmp_path, passes=False)
    with pytest.raises(NotPassed) as told_why:
        releases.run("set")
    sentence, *faults = str(told_why.value).splitlines()
    assert sentence == f"release 2: rejected, see {tmp_path / 'check.html'}"
    assert faults == ["accuracy: lost", "class order: renamed"]
    assert releases.steps == ["prepare set", "check 2"]
    releases.run("set", force="fix forward", baseline_s=0)
    assert releases.steps[-2:] == ["flip 2 fix forward after 0 s", "watch 60 s"]


def test_a_verdict_says_what_nothing_was_compared_with():
    half = Check(
        True, now(), "check.html", (), {"latency_median_ratio": 1.0}, ("numbers: compared with nothing",)
    )
    passed = replace(release(2), check=half)
    assert verdict(passed) == "passed: latency 1.00 times the live one's; numbers: compared with nothing"


def test_a_run_that_was_taken_back_fails(tmp_path):
    with pytest.raises(NotPassed, match="release 2: wrong answers"):
        told(tmp_path, stays=False).run("set")


def test_a_run_of_what_is_live_does_nothing(tmp_path):
    releases = told(tmp_path, active=2)
    assert releases.run("set") is None
    assert releases.steps == ["prepare set"]


@pytest.mark.parametrize(
    ("record", "step"),
    [
        (None, "prepare pair --from FOLDER"),
        (record_of(release(1)), "prepare pair --from FOLDER"),
        (record_of(release(1), release(2, "prepared")), "check pair 2"),
        (two_releases(), "flip pair 2"),
        (record_of(release(1), release(2, "rejected")), "retire pair"),
        (
            record_of(release(1), release(2), active=2, previous=1).with_event("flip", 2, "ann", ""),
            "watch pair",
        ),
        (
            record_of(release(1), release(2), active=2, previous=1)
            .with_event("flip", 2, "ann", "")
            .with_event("watch", 2, "ann", ""),
            "prepare pair --from FOLDER",
        ),
        (record_of(release(1), release(2)).with_event("rollback", 1, "ann", ""), "retire pair"),
        (replace(two_releases(), pending=Pending("flip", 2, "ann", now())), "restore pair"),
    ],
)
def test_what_comes_next_follows_from_the_record(record: Pipeline | None, step: str):
    assert next_step(PAIR, record) == step


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    repository = write_repository(tmp_path_factory.mktemp("repository"))
    with serving_pair(repository) as live:
        yield live


@pytest.fixture
def stage(live: Live) -> Iterator[Stage]:
    with Store(live.repository).locked("test"):
        stage = set_up(live)
    yield stage
    shutil.rmtree(stage.store.folder / PAIR, ignore_errors=True)
    stage.store.path.unlink()


@pytest.fixture
def served(stage) -> Releases:
    return Releases(PAIR, stage.store.repository, stage.live.url, by="ann@here")


@pytest.mark.server
def test_a_flip_takes_what_waits_and_records_the_period_before(served, stage):
    for _ in range(5):
        assert stage.answer() == OLD
    assert served.flip(why="newer", baseline_s=0.5).record.active == 2
    assert stage.answer() == NEW
    flipped = served.log()[-1]
    assert (flipped.verb, flipped.by, flipped.text) == ("flip", "ann@here", "newer")
    assert flipped.figures["before"]["seconds"] == 0.5
    assert not served.flip(2, baseline_s=60).changed, "a flip that does nothing does not observe either"
    assert served.status().agrees
    assert served.rollback("pager").record.active == 1
    assert stage.answer() == OLD


@pytest.mark.server
def test_a_step_first_undoes_what_a_crash_left(served, stage):
    with stage.store.locked("test"):
        stage.live.pin(PAIR, SECOND)
        stage.store.write(PAIR, replace(two_releases(), pending=Pending("flip", 2, "bob@there", now())))
    with pytest.raises(RuntimeError, match="expected a release before 1"):
        served.rollback()
    assert stage.answer() == OLD
    assert stage.record.pending is None
    assert served.log()[-1].verb == "undone"


@pytest.mark.server
def test_restoring_makes_the_server_agree_with_the_record(served, stage):
    with stage.store.locked("test"):
        stage.live.pin(PAIR, SECOND)
        assert not served.status().agrees
        assert served.status().busy.startswith("`release test` by ")
    assert served.restore().active == 1
    assert served.status().agrees


@pytest.mark.server
def test_retiring_returns_the_numbers_it_retired(served, stage):
    served.flip(2)
    assert served.retire() == []
    served.rollback()
    assert served.retire() == [2]
    assert stage.resident() == {"first": {1}, "second": {1}}
    assert served.retire() == []
