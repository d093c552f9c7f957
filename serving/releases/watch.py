"""After a flip: compare what the live pipeline does with the period before, and go back when it got worse.

Two things judge: the traffic, in windows back to back against the period that `flip` observed; and golden
requests of its own, twice a second, so that a wrong answer is seen even when nobody else asks. Two windows in
a row that breach a limit, or two wrong golden answers in a row, take the release back.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.budgets import budget_of
from serving.releases import golden, period, switch
from serving.releases.breach import DECLARED, Limits, Window, faults, judge, wrong_twice
from serving.releases.live import Live
from serving.releases.origin import origin_of
from serving.releases.period import Meter, Period
from serving.releases.probes import Probe, Prober
from serving.releases.record import Pipeline, Release
from serving.releases.store import Busy, Store

STEP_S = 0.5  # between two golden requests: 2 of them a second are noise beside any traffic worth a release
BACK_PATIENCE_S, NOTE_PATIENCE_S = 60.0, 5.0  # for the lock: to go back, and merely to note the outcome
RETURN_S = 120.0  # how long a server may take to come back before it can be told to go back

log = logging.getLogger("serving.releases")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Evidence:
    """What a watch judges by, beside the server's own counters.

    metrics_url: the metrics page, for degraded answers; None leaves them out
    golden:      folder of golden sets; None, or one that has no set of the pipeline, leaves them out
    limits:      how much worse than before a release may be
    """

    metrics_url: str | None = None
    golden: Path | None = None
    limits: Limits = DECLARED

    def prober(self, live: Live, pipeline: str, release: Release) -> Prober | None:
        """Sends golden requests; None without a golden set."""
        if self.golden is None or not (self.golden / pipeline / golden.FILE).is_file():
            return None
        from serving.required import precision_of  # here: it reads records, which these are part of

        items, made = golden.read(self.golden, pipeline), origin_of(release, live.repository)
        expected = items.expected(made.weights_sha256, made.fusion)
        budget = budget_of(pipeline, precision_of(live.repository, pipeline, live.target))
        return Prober(live.url, pipeline, items, budget, expected)


@dataclass(frozen=True)
class Watched:
    """How a watch ended; text: one sentence; live: the release that answers now."""

    record: Pipeline
    release: int
    text: str
    rolled_back: bool = False
    breached: bool = False
    figures: Mapping[str, Any] | None = None

    @property
    def passed(self) -> bool:
        """Whether the release stayed and nothing spoke against it."""
        return not self.breached and self.record.active == self.release


def observe(live: Live, pipeline: str, seconds: float, metrics_url: str | None = None) -> Period | None:
    """What the pipeline does for some seconds, without asking it anything; None for 0 seconds."""
    if seconds <= 0:
        return None
    meter = _meter(live, pipeline, metrics_url)
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(STEP_S, left))
        meter.read()
    return meter.read()


def watch(
    store: Store,
    live: Live,
    pipeline: str,
    *,
    seconds: float,
    by: str,
    evidence: Evidence = Evidence(),
    progress: Progress = lambda what, done, total: None,
) -> Watched:
    """Watch the live release and go back to the previous one when it breaches a limit.

    The lock is free meanwhile, so that somebody else can roll back; it is taken to go back and to note how
    the watch ended.

    errors: RuntimeError when nothing was ever released, or when going back failed
    """
    record = _known(store, pipeline)
    prober = evidence.prober(live, pipeline, record.release(record.active))
    watching = Watching(before(record), evidence.limits, _meter(live, pipeline, evidence.metrics_url), prober)
    reason = None
    while reason is None and watching.seconds < seconds:
        time.sleep(watching.until_next())
        now = _known(store, pipeline)
        if now.active != record.active:
            return _superseded(now, record.active)
        reason = watching.look()
        progress(watching.text, min(int(watching.seconds), int(seconds)), int(seconds))
    watching.finish()
    if reason is not None:
        return _go_back(store, live, pipeline, record.active, reason, watching, by)
    return _note(store, pipeline, record.active, watching, by)


class Watching:
    """One watch under way: windows, golden requests, and what they say."""

    def __init__(self, before: Period | None, limits: Limits, meter: Meter, prober: Prober | None) -> None:
        self._before, self._limits, self._meter, self._prober = before, limits, meter, prober
        self._total = self._closed = meter.read()
        self._probes: list[Probe] = []
        self._in_window: list[Probe] = []
        self._windows: list[Window] = []
        self._started = self._next = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has gone on."""
        return time.monotonic() - self._started

    def until_next(self) -> float:
        """Seconds to sleep before the next look."""
        self._next = max(self._next + STEP_S, time.monotonic())
        return self._next - time.monotonic()

    def look(self) -> str | None:
        """Send one golden request, read the counters; why the release must go back, if it must."""
        if self._prober is not None:
            probe = self._prober.probe()
            self._probes.append(probe)
            self._in_window.append(probe)
        self._total = self._meter.read()
        window = Window(self._total - self._closed, tuple(self._in_window))
        if not window.is_full(self._limits):
            return wrong_twice(self._probes)
        self._windows.append(window)
        self._closed, self._in_window = self._total, []
        return wrong_twice(self._probes) or judge(self._before, self._windows, self._limits)

    def finish(self) -> None:
        """Stop asking."""
        if self._prober is not None:
            self._prober.close()

    @property
    def whole(self) -> Window:
        """Everything since the start as one window."""
        return Window(self._total, tuple(self._probes))

    @property
    def text(self) -> str:
        """What was seen so far, for a person."""
        wrong = sum(bool(probe.wrong) for probe in self._probes)
        failed = sum(bool(probe.failed) for probe in self._probes)
        asked = f"{len(self._probes) - wrong - failed} of {len(self._probes)} golden answers right"
        return f"{self.whole.traffic}, {asked}" if self._probes else str(self.whole.traffic)

    @property
    def conclusion(self) -> str:
        """How a watch without a breach ended: what was seen, and what could not judge."""
        remarks = [self.text]
        if not self._probes:
            remarks.append("no golden set, so only the traffic judged")
        elif self._prober is not None and not self._prober.knows_answers:
            remarks.append("the golden set has no answers of these weights, so only their form was judged")
        if self._probes and self.whole.traffic.attempts < self._limits.requests:
            remarks.append("next to no traffic, so only golden requests judged")
        if self._before is None:
            remarks.append("the period before the flip was not observed, so latency was not compared")
        if self._windows and (last := faults(self._before, self._windows[-1], self._limits)):
            remarks.append(f"the last window breached a limit ({'; '.join(last)}): watch on")
        return "; ".join(remarks)

    @property
    def figures(self) -> dict[str, Any]:
        """For the history."""
        return {
            "before": self._before.to_json() if self._before else None,
            "after": self.whole.traffic.to_json(),
            "golden": {
                "asked": len(self._probes),
                "wrong": sum(bool(probe.wrong) for probe in self._probes),
                "failed": sum(bool(probe.failed) for probe in self._probes),
            },
        }


def before(record: Pipeline) -> Period | None:
    """The period that was observed before the active release went live; None when none was."""
    for event in reversed(record.history):
        if event.verb in ("flip", "rollback") and event.release == record.active:
            content = event.figures.get("before")
            return Period.from_json(content) if content else None
    return None


def _meter(live: Live, pipeline: str, metrics_url: str | None) -> Meter:
    models = frozenset(live.pinned(pipeline) or ())
    if metrics_url is None:
        return Meter(lambda: live.statistics(pipeline))
    url = metrics_url
    return Meter(lambda: live.statistics(pipeline), lambda: period.outcomes(period.fetch(url), models))


def _known(store: Store, pipeline: str) -> Pipeline:
    record = store.read(pipeline)
    if record is None:
        raise RuntimeError(
            f"{pipeline}: expected a release to watch, nothing was released yet; `release prepare` begins"
        )
    return record


def _superseded(record: Pipeline, watched: int) -> Watched:
    last = record.last_change or record.history[-1]
    text = (
        f"release {record.active} is live instead of {watched} since the {last.verb} of {last.time} by "
        f"{last.by}: nothing is left to watch"
    )
    return Watched(record, watched, text)


def _go_back(
    store: Store, live: Live, pipeline: str, watched: int, reason: str, watching: Watching, by: str
) -> Watched:
    live.wait(RETURN_S)  # the set may have crashed the server, which then is on its way up
    with _locked_soon(store, "watch", BACK_PATIENCE_S):
        record = switch.settle(store, live, pipeline, by) or _known(store, pipeline)
        if record.active != watched:
            return _superseded(record, watched)
        figures = watching.figures
        if record.previous is None:
            text = f"{reason}; there is no release before {watched} to go back to"
            record = store.write(pipeline, record.with_event("watch", watched, by, text, figures))
            return Watched(record, watched, text, breached=True, figures=figures)
        switched = switch.rollback(store, live, pipeline, by=by, why=reason)
        text = f"rolled back to release {switched.record.active}: {reason}"
        record = store.write(pipeline, switched.record.with_event("watch", watched, by, text, figures))
    return Watched(record, watched, text, rolled_back=True, breached=True, figures=figures)


def _note(store: Store, pipeline: str, watched: int, watching: Watching, by: str) -> Watched:
    """Write down how a watch without a breach ended."""
    text, figures = f"{watching.seconds:.0f} s: {watching.conclusion}", watching.figures
    try:
        with _locked_soon(store, "watch", NOTE_PATIENCE_S):
            record = _known(store, pipeline)
            if record.active != watched:
                return _superseded(record, watched)
            record = store.write(pipeline, record.with_event("watch", watched, by, text, figures))
    except Busy as busy:  # somebody flips or prepares: what they do stands in the history
        log.warning("the outcome of the watch is not in the history: %s", busy)
        record = _known(store, pipeline)
    return Watched(record, watched, text, figures=figures)


@contextlib.contextmanager
def _locked_soon(store: Store, verb: str, patience_s: float) -> Iterator[None]:
    """The lock, even if somebody else is at work for a while; Busy after `patience_s`."""
    deadline = time.monotonic() + patience_s
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(store.locked(verb))
                break
            except Busy:
                if time.monotonic() > deadline:
                    raise
        yield
