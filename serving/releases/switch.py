"""Change which release is live: one load of the ensemble with other versions pinned, and the way back."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from serving.releases.live import CANARY, REHEARSAL, Live, Unreachable
from serving.releases.record import Pending, Pipeline, Release, now
from serving.releases.residents import known, refresh, resident_versions, restore, retire, serve, trim
from serving.releases.store import Store

__all__ = [
    "Switched",
    "flip",
    "refresh",
    "refuse",
    "resident_versions",
    "restore",
    "retire",
    "rollback",
    "settle",
    "trim",
]

log = logging.getLogger("serving.releases")


@dataclass(frozen=True)
class Switched:
    """What a flip or a rollback did.

    control_ms: the one call that changed what answers come from; whole_ms: from the request to the record on
    disk; both 0 when there was nothing to do; text: a sentence for whoever asked
    """

    record: Pipeline
    text: str
    control_ms: float = 0.0
    whole_ms: float = 0.0
    changed: bool = True

    def __str__(self) -> str:
        if not self.changed:
            return self.text
        return f"{self.text}; {self.control_ms:.0f} ms, {self.whole_ms:.0f} ms with rehearsal and record"


def flip(
    store: Store, live: Live, pipeline: str, number: int, *, by: str, why: str, force: str = ""
) -> Switched:
    """Make a release live: from one request to the next, every answer comes from the new set.

    force:  why a release that did not pass its check goes live all the same; stands in the record
    errors: LookupError for a number that is not there; RuntimeError for a release that must not go live, and
            for a server that did not take it: the set that was live is live then
    """
    started = time.perf_counter()
    record = known(store.read_all(), pipeline)
    release = record.release(number)
    if number == record.active:
        return _already(live, pipeline, record, f"release {number} is live already")
    refuse(record, release, force)
    released = replace(release, state="released", forced=force or release.forced)
    return _Switch(store, live, pipeline, "flip", by, why, started).to(record, released, record.active)


def rollback(store: Store, live: Live, pipeline: str, *, by: str, why: str) -> Switched:
    """Make the previous release live again; asked twice, it stays there and says so.

    errors: RuntimeError when there is nothing to go back to, or when the server did not take it
    """
    started = time.perf_counter()
    record = known(store.read_all(), pipeline)
    if record.previous is None:
        last = record.last_change
        if last is None or last.verb == "flip":
            raise RuntimeError(
                f"{pipeline}: expected a release before {record.active} to go back to, there is none; "
                "`release log` lists what there is, `release flip` goes to one by its number"
            )
        text = f"release {record.active} is live since the rollback of {last.time} by {last.by}"
        return _already(live, pipeline, record, text)
    before = record.release(record.previous)
    return _Switch(store, live, pipeline, "rollback", by, why, started).to(record, before, None)


def settle(store: Store, live: Live | None, pipeline: str, by: str = "") -> Pipeline | None:
    """Undo what a crash left half done, and return the record; every step does that first.

    live: None for a step that talks to no server; a change of the live set is then left for one that does
    """
    from serving.releases.prepare import undo_unfinished

    undo_unfinished(store, pipeline)
    record = store.read(pipeline)
    if record is None or live is None:
        return record
    versions, pending = record.release(record.active).versions, record.pending
    # An ensemble that was loaded from disk follows the newest version of each model, also one that is merely
    # loaded beside it for a check: that would be the flip.
    if pending is not None or live.pinned(pipeline) not in (None, versions):
        serve(live, pipeline, versions)
    if pending is None:
        return record
    live.unpin(pipeline + REHEARSAL)
    text = (
        f"the {pending.verb} to release {pending.release} by {pending.by} did not finish; "
        f"release {record.active} is live, as it was"
    )
    undone = replace(record, pending=None).with_event("undone", pending.release, by or pending.by, text)
    return store.write(pipeline, undone)


class _Switch:
    """One change of the live set, with the way back if it does not come to its end."""

    def __init__(
        self, store: Store, live: Live, pipeline: str, verb: str, by: str, why: str, started: float
    ) -> None:
        self._store = store
        self._live = live
        self._pipeline = pipeline
        self._verb = verb
        self._by = by
        self._why = why
        self._started = started

    def to(self, record: Pipeline, release: Release, previous: int | None) -> Switched:
        """Go from the active release to this one, durably; `previous`: where a rollback goes from there."""
        _refuse_missing(self._store, release)
        self._live.pinned(self._pipeline)  # nobody there: said before anything is written
        number = release.number
        try:
            control_ms = self._bring(record, release)
            done = self._store.write(self._pipeline, self._done(record, release, previous, control_ms))
        except BaseException as error:  # Ctrl-C as well: never the new set live and the old one on record
            consequence = self._back(number, error)
            if not isinstance(error, Exception):
                raise
            raise RuntimeError(f"{error}\n{consequence}") from error
        whole_ms = self._since()
        text = f"release {number} is live, instead of {record.active}" + self._confirm(done, record)
        return Switched(done, text, control_ms, whole_ms)

    def _bring(self, record: Pipeline, release: Release) -> float:
        """Try the new pins under another name, then load them under the live one; returns the latter's ms.

        That a change began is written down meanwhile: trying changes no answer, and a disk takes 5 ms.
        """
        live, versions = self._live, release.versions
        if any(live.is_ensemble(model) for model in versions) or not live.is_ensemble(self._pipeline):
            raise RuntimeError(
                f"{self._pipeline}: expected an ensemble of plain models, which changes in one step; "
                "release the models under names of their own instead"
            )
        pending = Pending(self._verb, release.number, self._by, now())
        with ThreadPoolExecutor(1) as pool:
            noted = pool.submit(self._store.write, self._pipeline, replace(record, pending=pending))
            refresh(live, record.release(record.active).versions, versions)
            live.pin(self._pipeline, versions, self._pipeline + REHEARSAL)
            noted.result()
        began = time.perf_counter()
        live.pin(self._pipeline, versions)
        control_ms = 1e3 * (time.perf_counter() - began)
        if live.pinned(self._pipeline) != versions:
            raise RuntimeError(
                f"{self._pipeline}: expected the server to be at {versions} after its load, "
                f"it is at {live.pinned(self._pipeline)}; look who else controls this server"
            )
        return control_ms

    def _done(self, record: Pipeline, release: Release, previous: int | None, control_ms: float) -> Pipeline:
        """The record of the change; its whole_ms cannot know the last write, that of `Switched` does."""
        figures = {"control_ms": round(control_ms, 2), "whole_ms": round(self._since(), 2)}
        changed = replace(record, active=release.number, previous=previous, pending=None)
        text = self._why or f"from release {record.active}"
        changed = changed.with_release(release)
        return changed.with_event(
            self._verb, release.number, self._by, text, figures | {"from": record.active}
        )

    def _confirm(self, done: Pipeline, before: Pipeline) -> str:
        """Serve it once more if the server came back from a crash in between, which brought the old set.

        A server that is away reads the record when it comes back: then there is nothing to do here. A canary
        of either set has had its trial: what is live needs none, what was taken back deserves none.
        """
        live, canary = self._live, self._pipeline + CANARY
        sets = [done.release(number).versions for number in (done.active, before.active)]
        try:
            serve(live, self._pipeline, sets[0])
            live.unpin(self._pipeline + REHEARSAL)
            if live.pinned(canary) in sets:
                live.unpin(canary)
        except RuntimeError as error:
            log.warning("%s: %s", self._pipeline, error)
            return f"; but afterwards: {error}"
        return ""

    def _back(self, number: int, error: BaseException) -> str:
        """Serve the active release of the record again; returns what came of it, as a sentence.

        The note that a change was pending goes only when it is certain what the server serves.
        """
        record = known(self._store.read_all(), self._pipeline)
        try:
            versions = record.release(record.active).versions
            refresh(self._live, versions)
            self._live.pin(self._pipeline, versions)
            self._live.unpin(self._pipeline + REHEARSAL)
        except Unreachable:
            return f"the server is gone; release {record.active} is what it has to serve when it is back"
        except RuntimeError as second:
            return f"release {record.active} could not be restored: {second}; see `release restore`"
        text = f"release {record.active} stayed live"
        reason = " ".join(str(error).split()) or type(error).__name__
        failed = replace(record, pending=None)
        failed = failed.with_event(f"{self._verb} failed", number, self._by, f"{reason}; {text}")
        try:
            self._store.write(self._pipeline, failed)
        except OSError as third:
            return f"{text}; that could not be written down: {third}"
        return text

    def _since(self) -> float:
        return 1e3 * (time.perf_counter() - self._started)


def _already(live: Live, pipeline: str, record: Pipeline, text: str) -> Switched:
    serve(live, pipeline, record.release(record.active).versions)
    return Switched(record, f"{text}; nothing to do", changed=False)


def refuse(record: Pipeline, release: Release, force: str) -> None:
    """RuntimeError for a release that is not there any more, or that nobody has reason to believe in."""
    if release.state in ("preparing", "abandoned", "retired"):
        raise RuntimeError(
            f"release {release.number}: expected one that is on disk, it is {release.state}; "
            "prepare its engines again"
        )
    if (behind := record.left_behind(release)) and not force:
        raise RuntimeError(f"{behind}, or say --force and why")
    passed = release.state == "released" or (release.check is not None and release.check.passed)
    if not passed and not force:
        state = "its check failed" if release.state == "rejected" else "it is not checked"
        report = f" (see {release.check.report})" if release.check else ""
        raise RuntimeError(
            f"release {release.number}: expected one that passed its check, {state}{report}; "
            "run `release check`, or say --force and why"
        )


def _refuse_missing(store: Store, release: Release) -> None:
    """RuntimeError, a line per file of the release that is not on disk."""
    absent = []
    for model, member in release.members.items():
        folder = store.repository / model / str(member.version)
        names = [name for name in member.files if not (folder / name).is_file()]
        if not folder.is_dir() or names:
            absent.append("/".join([model, str(member.version), ", ".join(names)]).rstrip("/"))
    if absent:
        raise RuntimeError(
            f"release {release.number}: expected its files on disk, {'; '.join(absent)} is not there; "
            "put it back, or prepare the engines again"
        )
