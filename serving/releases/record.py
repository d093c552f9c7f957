"""What `releases.json` says: for each pipeline its releases, which is live, who did what, when and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

# preparing: numbers are taken, files are on their way; prepared: on disk, whole; checked / rejected: compared
# with the live set; released: is or was live; retired: unloaded, its numbers stay taken; abandoned: a
# preparation that did not finish
State = Literal["preparing", "prepared", "checked", "rejected", "released", "retired", "abandoned"]
WAITING: tuple[State, ...] = ("prepared", "checked", "rejected")  # on disk, and not live yet
SCHEMA = 1


@dataclass(frozen=True)
class Member:
    """One model's part in a release.

    files: name -> sha256 of its engine files; empty where the version folder carries no manifest (gate,
    preprocess); weights_sha256: what the engine was made from, empty like `files`
    """

    version: int
    files: Mapping[str, str] = field(default_factory=dict)
    weights_sha256: str = ""


@dataclass(frozen=True)
class Check:
    """The verdict of a check; report: its page, relative to the repository; faults: one sentence each.

    remarks: what could not be compared, which is no fault but weakens the verdict
    """

    passed: bool
    time: str
    report: str
    faults: tuple[str, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Release:
    """A whole set: every model of the pipeline with the version that serves in it.

    changed: models whose version this release brought; none in the one adopted from a plain repository
    forced:  why it went on although its check had not passed; empty when it had
    """

    number: int
    state: State
    members: Mapping[str, Member]
    changed: tuple[str, ...]
    source: str
    by: str
    why: str
    time: str
    check: Check | None = None
    forced: str = ""

    @property
    def versions(self) -> dict[str, int]:
        """Model -> version, in the order of the ensemble's steps: what a server has to be pinned to."""
        return {model: member.version for model, member in self.members.items()}


@dataclass(frozen=True)
class Pending:
    """A change of the live set that has begun; whoever finds it after a crash undoes it."""

    verb: str
    release: int
    by: str
    time: str


@dataclass(frozen=True)
class Event:
    """One line of the history."""

    time: str
    by: str
    verb: str
    release: int
    text: str
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pipeline:
    """Everything about one pipeline; `active` is what the live answers come from.

    target:  `cpu` or `gpu`, the configuration that its server reads
    highest: model -> highest version number ever given, so that none is given twice
    """

    target: str
    active: int
    previous: int | None
    releases: Mapping[int, Release]
    highest: Mapping[str, int]
    pending: Pending | None = None
    history: tuple[Event, ...] = ()

    def release(self, number: int) -> Release:
        """The release of that number; LookupError that lists the numbers there are."""
        if number not in self.releases:
            known = ", ".join(map(str, self.releases))
            raise LookupError(f"release: expected one of {known}, got {number}; `release log` lists them")
        return self.releases[number]

    def left_behind(self, release: Release) -> str:
        """What a waiting release would take back unmeant: models that it did not change and others did since.

        returns: a sentence that says what to do, empty when nothing is left behind
        """
        live = self.release(self.active).versions
        kept = {model: n for model, n in release.versions.items() if model not in release.changed}
        behind = [
            f"{model} from {live[model]} to {n}" for model, n in kept.items() if live.get(model, n) != n
        ]
        if release.state == "released" or not behind:
            return ""
        return (
            f"release {release.number}: expected one prepared beside release {self.active}, it is older and "
            f"would take back {', '.join(behind)}; prepare its engines again"
        )

    @property
    def last_change(self) -> Event | None:
        """The flip or rollback that made the active release live; None when it was adopted."""
        return next((event for event in reversed(self.history) if event.verb in ("flip", "rollback")), None)

    @property
    def newest(self) -> Release:
        """The release with the highest number."""
        return self.releases[max(self.releases)]

    def with_release(self, release: Release) -> Pipeline:
        """The same with one release added or replaced."""
        changed = {**self.releases, release.number: release}
        highest = dict(self.highest)
        for model, member in release.members.items():
            highest[model] = max(member.version, highest.get(model, 0))
        return replace(self, releases=changed, highest=highest)

    def with_event(
        self, verb: str, release: int, by: str, text: str, figures: Mapping[str, Any] | None = None
    ) -> Pipeline:
        """The same with one more line of history."""
        return replace(self, history=(*self.history, Event(now(), by, verb, release, text, figures or {})))


def now() -> str:
    """This second, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def to_text(pipelines: Mapping[str, Pipeline]) -> str:
    """What goes into the file. Not by `asdict`, whose deep copies of a long history take 4 ms of a flip, and
    without indentation, which json leaves to Python: `release status` and `release log` are for reading."""
    return json.dumps({"schema": SCHEMA, "pipelines": pipelines}, allow_nan=False, default=vars) + "\n"


def from_json(content: Mapping[str, Any]) -> dict[str, Pipeline]:
    """What `to_text` wrote, parsed; ValueError for another schema, KeyError or TypeError for nonsense."""
    if content["schema"] != SCHEMA:
        raise ValueError(f"schema: expected {SCHEMA}, got {content['schema']}; use the version that wrote it")
    return {name: _pipeline(one) for name, one in content["pipelines"].items()}


def _pipeline(content: Mapping[str, Any]) -> Pipeline:
    read = {
        "releases": {int(number): _release(one) for number, one in content["releases"].items()},
        "pending": Pending(**content["pending"]) if content["pending"] else None,
        "history": tuple(Event(**one) for one in content["history"]),
    }
    return Pipeline(**{**content, **read})


def _release(content: Mapping[str, Any]) -> Release:
    check = content["check"]
    read = {
        "members": {model: Member(**one) for model, one in content["members"].items()},
        "changed": tuple(content["changed"]),
        "check": _check(check) if check else None,
    }
    return Release(**{**content, **read})


def _check(content: Mapping[str, Any]) -> Check:
    sentences = {name: tuple(content.get(name, ())) for name in ("faults", "remarks")}
    return Check(**{**content, **sentences})
