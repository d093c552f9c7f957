"""Keep a supervised server at the active releases: bring it up there, and back when something moved it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from serving.processes import Stub
from serving.releases.live import Live, Unreachable
from serving.releases.record import Pipeline
from serving.releases.residents import restore
from serving.releases.store import Busy, Store
from serving.server import Options

LOOK_EVERY_S = 1.0
LONGEST_BACKOFF_S = 30.0

log = logging.getLogger("serving.releases")


def live_of(options: Options) -> Live:
    """The server of these options."""
    return Live(f"{options.host}:{options.ports.grpc}", options.repository, options.target)


def bring_up(options: Options) -> None:
    """Load every pipeline of a server that answers; each at its active release if it has releases.

    Whoever flips while we load finds no server to flip, or writes a new record: so look again after loading.
    errors: those of `restore`
    """
    store = Store(options.repository)
    with live_of(options) as live:
        while True:
            before = _active(store, options.pipelines)
            for pipeline in options.pipelines:
                restore(store, live, pipeline)
            if _active(store, options.pipelines) == before:
                return


class Keeper:
    """Looks about once a second, in a thread of its own, whether the live pins are those of the record.

    They are not after a tool was killed between the load and its record, or when somebody loaded the ensemble
    by hand. Whoever holds the lock is left alone: a flip passes through such states.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._store = Store(options.repository)
        self._live = live_of(options)
        self._pool = ThreadPoolExecutor(1)
        self._look: Future[None] | None = None
        self._next = 0.0
        self._failures = 0
        self._said = ""

    def look(self) -> None:
        """Have a look, unless the last one is under way or not long ago; returns at once."""
        if self._look is not None and not self._look.done():
            return
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LOOK_EVERY_S
            self._look = self._pool.submit(self.keep)

    def can_spare(self, stub: Stub) -> bool:
        """Whether a backend process is only a candidate's: neither an active nor a previous release uses it.

        A set that crashes while it is checked fails its check; a restart would take the live set with it.
        """
        try:
            records = self._store.read_all().values()
        except (ValueError, OSError):
            return False
        numbers = [(one, n) for one in records for n in (one.active, one.previous) if n is not None]
        needed = [one.release(n).versions for one, n in numbers]
        released = any(stub.model in versions for versions in needed)
        return released and all(str(versions.get(stub.model)) != stub.version for versions in needed)

    def close(self) -> None:
        """Stop looking, without waiting for a look under way."""
        self._pool.submit(self._live.close)
        self._pool.shutdown(wait=False)

    def keep(self) -> None:
        """One look, and what follows from it; a failure is logged once and tried again ever more slowly."""
        try:
            self._restore_drifted()
        except (Busy, Unreachable):  # somebody is at it; the supervisor itself notices a server that is gone
            return
        except (RuntimeError, ValueError, OSError) as error:
            self._failures += 1
            self._next = time.monotonic() + min(LONGEST_BACKOFF_S, 2.0**self._failures)
            if str(error) != self._said:
                self._said = str(error)
                log.error("the active release could not be restored: %s", self._said.replace("\n", " | "))
        else:
            self._failures, self._said = 0, ""

    def _restore_drifted(self) -> None:
        if not self._store.path.exists() or self._store.holder() is not None or not self._drifted():
            return
        with self._store.locked("restore"):
            for pipeline, (pins, record) in self._drifted().items():
                restore(self._store, self._live, pipeline)
                was = "not loaded" if pins is None else f"pinned to {_differing(pins, record)}"
                log.warning("%s was %s; release %d is live again", pipeline, was, record.active)

    def _drifted(self) -> dict[str, tuple[dict[str, int] | None, Pipeline]]:
        """Pipeline -> its pins and its record, where the two differ."""
        found = {}
        for pipeline, record in self._store.read_all().items():
            if pipeline in self._options.pipelines and self._live.is_ensemble(pipeline):
                pins = self._live.pinned(pipeline)
                if pins != record.release(record.active).versions:
                    found[pipeline] = pins, record
        return found


def _differing(pins: dict[str, int], record: Pipeline) -> str:
    active = record.release(record.active).versions
    return ", ".join(f"{model} {number}" for model, number in pins.items() if active.get(model) != number)


def _active(store: Store, pipelines: Iterable[str]) -> dict[str, int]:
    every = store.read_all()
    return {pipeline: every[pipeline].active for pipeline in pipelines if pipeline in every}
