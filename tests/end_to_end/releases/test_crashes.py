"""kill -9 of the tool or of the server, anywhere in a step: the active release stays what answers.

`killing.py` says what a moment is. The normal run dies at the decisive ones and at a sample of the others;
CROSSFUSE_EVERY_MOMENT=1 dies at every one.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from crossfuse import Client, Retries

import serving
from serving.releases.record import Pipeline, Release
from serving.releases.store import Store
from tests.end_to_end.releases.killing import Operator
from tests.end_to_end.releases.lab import NEW, OLD, until, version_folders
from tests.end_to_end.releases.sets import FUSION, PIPELINE
from tests.end_to_end.releases.traffic import Known, Traffic

pytestmark = pytest.mark.server
EVERY = os.environ.get("CROSSFUSE_EVERY_MOMENT") == "1"
SAMPLE = 4  # of the moments that are not decisive
DECISIVE = (f"load_model {PIPELINE}:", "os.rename", "fsync .releases/releases.json.draft: before")


@dataclass
class Scene:
    """One repository, its server, somebody who runs steps on it, and what is known about the numbers so far.

    used: (model, version) -> the release and the files that this number ever stood for
    """

    operator: Operator
    served: serving.Address
    repository: Path
    candidate: Path
    known: Known
    used: dict[tuple[str, int], tuple[str, ...]] = field(default_factory=dict)

    @property
    def record(self) -> Pipeline:
        record = Store(self.repository).read(PIPELINE)
        assert record is not None
        return record

    @property
    def active(self) -> str:
        """The letter of the set that is active on record."""
        return self.letter(self.record.release(self.record.active))

    def letter(self, release: Release) -> str:
        first = self.record.release(1)
        return OLD if release.members[FUSION].files == first.members[FUSION].files else NEW

    def live(self) -> str:
        """The letter of the set that answers."""
        with Client(self.served.grpc, retries=Retries()) as client:
            return self.known.who(self.known.ask(client))

    def traffic(self, retries: Retries | None = None) -> Traffic:
        return Traffic(self.served.grpc, self.known, retries)

    @property
    def server_pid(self) -> int:
        pid = self.served.state().server_pid
        assert pid is not None
        return pid

    def await_another_server(self, pid: int) -> None:
        """The supervisor starts it at once after the first crash, ever more slowly after further ones."""

        def another() -> bool:
            state = self.served.state()  # once: between two looks the phase may leave the server that died
            return state.phase == "ready" and state.server_pid != pid

        until(another, "the server to be started again", timeout_s=90.0)

    def prepared(self) -> int:
        """The number of a good set that waits, freshly prepared."""
        self.operator.do("prepare", source=str(self.candidate), why="to be killed")
        return self.record.newest.number

    def flipped(self) -> dict[str, Any]:
        """Arguments of a flip to a good set that waits. Here is no place to judge sets, hence by force."""
        return {"number": self.prepared(), "force": "to be killed", "why": "forth"}

    def tidy(self) -> None:
        """The first release is live, nothing waits."""
        if self.record.active != 1:
            self.operator.do("flip", number=1, why="tidy")
        kept = (self.record.active, self.record.previous)
        every = self.record.releases.values()
        states = ("prepared", "checked", "rejected", "released")
        numbers = [one.number for one in every if one.state in states and one.number not in kept]
        if numbers:
            self.operator.do("retire", numbers=numbers, delete=True)

    def assert_whole(self) -> None:
        """Nothing half done is left, and no number ever stood for two different things."""
        record = self.record
        assert record.pending is None
        assert not (self.repository / ".releases" / "staging").exists()
        owned = {
            (model, version)
            for release in record.releases.values()
            if release.state not in ("preparing", "abandoned")
            for model, version in release.versions.items()
        }
        there = {one for one in version_folders(self.repository) if one[0] in record.release(1).versions}
        assert there <= owned
        for release in record.releases.values():
            for model in release.changed:
                member = release.members[model]
                stands_for = (str(release.number), *sorted(member.files.values()))
                assert self.used.setdefault((model, member.version), stands_for) == stands_for
                assert member.version <= record.highest[model]


@pytest.fixture(scope="module")
def scene(operator, served, repository, candidate, known) -> Scene:
    scene = Scene(operator, served, repository, candidate, known)
    scene.prepared()
    scene.tidy()
    return scene


@pytest.fixture
def fresh_scene(place, candidate, known, few) -> Iterator[Scene]:
    """A server that has not crashed yet."""
    repository = place()
    with (
        serving.running([PIPELINE], repository) as served,
        Operator(repository, served.grpc, few) as operator,
    ):
        yield Scene(operator, served, repository, candidate, known)


@dataclass(frozen=True)
class Step:
    """A step to die in.

    begin:  brings about the state in which it is taken, and returns its arguments
    letters: of the sets that may answer while it is taken
    """

    begin: Callable[[Scene], dict[str, Any]]
    letters: frozenset[str]


def _to_prepare(scene: Scene) -> dict[str, Any]:
    scene.tidy()
    return {"source": str(scene.candidate), "why": "to be killed"}


def _to_check(scene: Scene) -> dict[str, Any]:
    scene.tidy()
    return {"number": scene.prepared()}


def _to_flip(scene: Scene) -> dict[str, Any]:
    """To the set that was live before where there is one: the same flip, a second sooner."""
    if scene.active == NEW:
        scene.operator.do("flip", number=1, why="begin")
    back = [one.number for one in scene.record.releases.values() if one.state == "released"]
    return {"number": max(back), "why": "to be killed"} if max(back) != 1 else scene.flipped()


def _to_rollback(scene: Scene) -> dict[str, Any]:
    if scene.record.previous != 1:
        scene.operator.do("flip", **_to_flip(scene))
    return {"why": "to be killed"}


def _to_retire(scene: Scene) -> dict[str, Any]:
    scene.tidy()
    return {"numbers": [scene.prepared()], "delete": True}


STEPS = {
    "prepare": Step(_to_prepare, frozenset({OLD})),
    "check": Step(_to_check, frozenset({OLD})),
    "flip": Step(_to_flip, frozenset({OLD, NEW})),
    "rollback": Step(_to_rollback, frozenset({OLD, NEW})),
    "retire": Step(_to_retire, frozenset({OLD})),
}


def chosen(moments: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """(number, what) of the moments to die at."""
    numbered = list(enumerate(moments, 1))
    decisive = [one for one in numbered if one[1].startswith(DECISIVE)]
    others = [one for one in numbered if one not in decisive]
    stride = max(1, len(others) // SAMPLE)
    yield from numbered if EVERY else sorted([*decisive, *others[::stride]])


@pytest.mark.parametrize("verb", STEPS)
def test_a_tool_killed_in_a_step_leaves_the_active_release_live_and_the_step_completes_when_repeated(
    scene, verb, capsys
):
    step = STEPS[verb]
    moments = scene.operator.do(verb, **step.begin(scene)).moments
    died = 0
    for number, what in chosen(moments):
        arguments = step.begin(scene)
        where = f"{verb} killed at moment {number} of {len(moments)}, {what}"
        with scene.traffic() as traffic:
            traffic.some_more(1)
            outcome = scene.operator.run(verb, die_at=number, **arguments)
            died += outcome.killed
            until(lambda: scene.live() == scene.active, f"the active release to be live after {where}")
            again = scene.operator.run(verb, **arguments)
            assert not again.error, f"{where}; repeated: {again.error}"
            until(
                lambda: scene.live() == scene.active, f"the active release to be live after {where}, repeated"
            )
            traffic.some_more(1)
        assert traffic.errors == [], where
        assert set(traffic.answers) <= step.letters, where
        scene.assert_whole()
        with capsys.disabled():
            if EVERY:
                sys.stderr.write(f"\r{where}\033[K")
    assert died


def test_a_server_killed_after_a_step_comes_back_with_exactly_the_active_release(fresh_scene):
    scene = fresh_scene
    arguments = scene.flipped()
    steps = [
        ("check", {"number": arguments["number"]}),
        ("flip", arguments),
        ("rollback", {"why": "and back"}),
        ("retire", {"numbers": [arguments["number"]], "delete": True}),
    ]
    with scene.traffic(Retries()) as traffic:
        for verb, arguments in steps:
            scene.operator.do(verb, **arguments)
            traffic.some_more(1)
            pid = scene.server_pid
            os.kill(pid, signal.SIGKILL)
            scene.await_another_server(pid)
            assert scene.live() == scene.active, verb
            traffic.some_more(1)
    assert traffic.errors == []
    assert traffic.seen == [OLD, NEW, OLD]


def test_a_server_killed_within_a_flip_comes_back_with_exactly_the_active_release(fresh_scene):
    scene = fresh_scene
    moments = scene.operator.do("flip", **scene.flipped()).moments
    calls = [(number, what) for number, what in enumerate(moments, 1) if "load_model" in what]
    ensembles = [one for one in calls if PIPELINE in one[1]]
    for number, what in calls if EVERY else [calls[0], *ensembles[::2]]:
        arguments, pid = _to_flip(scene), scene.server_pid
        with scene.traffic(Retries()) as traffic:
            traffic.some_more(1)
            outcome = scene.operator.run("flip", die_at=number, kill=pid, **arguments)
            scene.await_another_server(pid)
            until(lambda: scene.live() == scene.active, f"the active release after {what}: {outcome.error}")
            scene.operator.do("flip", **arguments)
            assert scene.live() == scene.active == NEW, what
        assert traffic.errors == [], what
        assert set(traffic.answers) <= {OLD, NEW}, what
        scene.assert_whole()
