"""prepare -> check -> flip -> watch -> rollback or retire, each under the lock, each safe to repeat."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from serving.releases.display import Display, Quiet
from serving.releases.overview import Status, described, role, verdict, waiting
from serving.releases.record import Event, Pipeline, Release
from serving.releases.store import Store, whoami
from serving.state import ROOT

if TYPE_CHECKING:
    from serving.releases.live import Live
    from serving.releases.switch import Switched
    from serving.releases.watch import Watched

GOLDEN = ROOT / "build" / "golden"
BASELINE_S, WATCH_S = 10.0, 60.0
ANSWER_S = 5.0  # a server that is being restarted is back within 3-4 s


class NotPassed(RuntimeError):
    """A release that did not pass its check, or did not stay after its flip; the text says why."""


@dataclass(frozen=True)
class Releases:
    """The releases of one pipeline, in one model repository, on one server.

    url:         host:port of the server's gRPC endpoint; empty: none, which is enough to prepare and to look
    target:      cpu or gpu, what the server reads; empty: as recorded, cpu when nothing is
    metrics_url: the server's metrics page, for degraded answers and the memory of a GPU
    golden:      folder of golden sets, as `python -m export golden` writes them
    embedded:    whether the server shares this machine's /dev/shm; one in a container does not
    errors: of every step: Busy when somebody else is at one; RuntimeError, ValueError or LookupError in one
            sentence per fault, and what was live is live still
    """

    pipeline: str
    repository: Path = ROOT / "model_repository"
    url: str = ""
    target: str = ""
    metrics_url: str | None = None
    golden: Path = GOLDEN
    by: str = field(default_factory=whoami)
    embedded: bool = True
    display: Display = field(default_factory=Quiet)

    @property
    def store(self) -> Store:
        """Where the record lies."""
        return Store(self.repository)

    def prepare(self, source: Path | str, why: str = "") -> Release:
        """Bring the set in the folder `source` into the repository; the server does not notice.

        A set that waits or is live already comes back as it is.
        """
        from serving.releases import prepare, room, switch

        target = self._target()
        with self.display.step("prepare") as step, self.store.locked("prepare"):
            record = switch.settle(self.store, None, self.pipeline, self.by)
            number = prepare.find(self.store, self.pipeline, Path(source), target)
            if record is not None and number is not None:
                release = record.release(number)
                step.found(f"release {number} is that set already ({role(record, release)}); nothing to do")
                return release
            record = prepare.prepare(
                self.store,
                self.pipeline,
                Path(source),
                target=target,
                by=self.by,
                why=why,
                room=room.measure(self.repository, self.metrics_url, self.embedded),
                progress=step.progress,
            )
            step.found(f"release {record.newest.number}: {described(record.newest)}")
            return record.newest

    def check(self, number: int | None = None) -> Release:
        """Load a release beside the live one and compare them; default: the newest that waits.

        Passed or not stands in the `check` of what is returned.
        """
        from serving.releases import check

        with self.display.step("check") as step, self._at_work("check") as (live, record):
            release = record.release(number) if number is not None else waiting(record)
            record = check.check(
                self.store,
                live,
                self.pipeline,
                release.number,
                golden=self.golden,
                by=self.by,
                progress=step.progress,
            )
            release = record.release(release.number)
            step.found(verdict(release))
            return release

    def flip(
        self, number: int | None = None, *, why: str = "", force: str = "", baseline_s: float = 0.0
    ) -> Switched:
        """Make a release live at once; default: the newest that waits.

        force:      why it goes live although it did not pass its check
        baseline_s: how long to observe before, for `watch` to compare with
        """
        from serving.releases import switch, watch

        with self.display.step("flip") as step:
            before = None
            if baseline_s > 0 and self._may_flip(number, force):
                with self._live() as live:
                    step.progress(f"observing the live release for {baseline_s:.0f} s first", 0, 0)
                    before = watch.observe(live, self.pipeline, baseline_s, self.metrics_url)
            with self._at_work("flip") as (live, record):
                chosen = number if number is not None else waiting(record).number
                done = switch.flip(self.store, live, self.pipeline, chosen, by=self.by, why=why, force=force)
                if done.changed and before is not None:
                    done = replace(done, record=self._noted(done.record, {"before": before.to_json()}))
            step.found(str(done))
            return done

    def watch(self, seconds: float = WATCH_S) -> Watched:
        """Compare what the live release does with the period before its flip; roll back on a breach."""
        from serving.releases import watch

        evidence = watch.Evidence(self.metrics_url, self.golden)
        with self.display.step("watch") as step, self._live() as live:
            done = watch.watch(
                self.store,
                live,
                self.pipeline,
                seconds=seconds,
                by=self.by,
                evidence=evidence,
                progress=step.progress,
            )
            step.found(done.text)
            return done

    def rollback(self, why: str = "") -> Switched:
        """Make the previous release live again, at once."""
        from serving.releases import switch

        with self.display.step("rollback") as step, self._at_work("rollback") as (live, _):
            done = switch.rollback(self.store, live, self.pipeline, by=self.by, why=why)
            step.found(str(done))
            return done

    def retire(self, numbers: list[int] | None = None, *, delete: bool = False) -> list[int]:
        """Unload releases that nobody needs, delete their files if asked; returns the numbers.

        numbers: default every release but the active, the previous and those that wait
        """
        from serving.releases import switch

        with self.display.step("retire") as step, self._at_work("retire") as (live, record):
            now = switch.retire(self.store, live, self.pipeline, numbers or None, by=self.by, delete=delete)
            retired = numbers or [
                number
                for number, release in now.releases.items()
                if release.state == "retired" and record.release(number).state != "retired"
            ]
            what = f"retired {', '.join(map(str, retired))}" + ", files deleted" * delete
            step.found(what if retired else "nothing to retire: every release is live, previous or waiting")
            return retired

    def restore(self) -> Pipeline | None:
        """Make the server answer from the active release; None where nothing was released yet."""
        from serving.releases import switch

        with self.display.step("restore") as step, self._live() as live, self.store.locked("restore"):
            switch.settle(self.store, live, self.pipeline, self.by)
            versions = switch.restore(self.store, live, self.pipeline)
            record = self.store.read(self.pipeline)
            chosen = f"release {record.active}" if record else "the newest version of each model"
            pins = ", ".join(f"{model} {version}" for model, version in versions.items())
            step.found(f"the server answers from {chosen}: {pins}")
            return record

    def status(self) -> Status:
        """What is live according to the record, and what the server really answers from."""
        record, pinned, server = self.store.read(self.pipeline), None, False
        if self.url:
            with self._connect(record) as live:
                server = live.answers()
                pinned = live.pinned(self.pipeline) if server else None
        busy = self.store.holder() or ""
        return Status(self.pipeline, record, self.url, server, pinned, busy)

    def log(self) -> tuple[Event, ...]:
        """The history, oldest first; empty when nothing was ever released."""
        record = self.store.read(self.pipeline)
        return record.history if record else ()

    def run(
        self,
        source: Path | str,
        *,
        why: str = "",
        force: str = "",
        baseline_s: float = BASELINE_S,
        seconds: float = WATCH_S,
    ) -> Watched | None:
        """prepare, check, flip and watch; None when the set is live already.

        errors: NotPassed for a set that did not pass its check (unless forced) or did not stay live
        """
        release = self.prepare(source, why)
        record = self.store.read(self.pipeline)
        if record is not None and record.active == release.number:
            return None
        release = self.check(release.number)
        if release.check is not None and not release.check.passed and not force:
            report = self.repository / release.check.report
            raise NotPassed(
                "\n".join([f"release {release.number}: rejected, see {report}", *release.check.faults])
            )
        self.flip(release.number, why=why, force=force, baseline_s=baseline_s)
        done = self.watch(seconds)
        if not done.passed:
            raise NotPassed(f"release {release.number}: {done.text}")
        return done

    def _target(self) -> str:
        record = self.store.read(self.pipeline)
        return self.target or (record.target if record else "cpu")

    def _connect(self, record: Pipeline | None) -> Live:
        from serving.releases.live import Live

        return Live(self.url, self.repository, self.target or (record.target if record else "cpu"))

    @contextlib.contextmanager
    def _live(self) -> Iterator[Live]:
        """The server; RuntimeError when there is none, or none that answers."""
        if not self.url:
            raise RuntimeError(
                "server: expected a running one, found none; start it with `python -m serving start`, "
                "or say where one answers with --url HOST:PORT"
            )
        with self._connect(self.store.read(self.pipeline)) as live:
            live.wait(ANSWER_S)
            yield live

    @contextlib.contextmanager
    def _at_work(self, verb: str) -> Iterator[tuple[Live, Pipeline]]:
        """The server and the record, the lock held and nothing left half done."""
        from serving.releases import switch

        with self._live() as live, self.store.locked(verb):
            record = switch.settle(self.store, live, self.pipeline, self.by)
            if record is None:
                raise RuntimeError(
                    f"{self.pipeline}: expected a release, nothing was ever released; "
                    "`release prepare --from FOLDER` begins"
                )
            yield live, record

    def _may_flip(self, number: int | None, force: str) -> bool:
        """Whether observing first is worth it: not where nothing would be done; a refusal is said at once."""
        from serving.releases import switch

        record = self.store.read(self.pipeline)
        if record is None:
            return False
        release = record.release(number) if number is not None else waiting(record)
        if release.number == record.active:
            return False
        switch.refuse(record, release, force)
        return True

    def _noted(self, record: Pipeline, figures: dict[str, object]) -> Pipeline:
        """The record with more figures at its last event, written."""
        *earlier, last = record.history
        event = replace(last, figures={**last.figures, **figures})
        return self.store.write(self.pipeline, replace(record, history=(*earlier, event)))
