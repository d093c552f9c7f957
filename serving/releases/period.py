"""What a pipeline did in a stretch of time: counters that a running server shows, read again and again."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serving.releases.live import Statistics

PAGE_S = 2.0  # the metrics page comes from memory; on a busy machine it took 40 ms
OUTCOMES = re.compile(r"^crossfuse_modality_status_total\{(.*)\} (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')
USED, DEGRADED = {"ok", "partial"}, {"partial", "corrupt"}


@dataclass(frozen=True)
class Period:
    """Counts over `seconds`.

    requests, failures: of the ensemble, as its own statistics have them
    busy_ns:   sum of the latencies inside the server of the requests that were answered
    payloads:  modalities that came with a request; degraded: those that were read in part or not at all
    outages:   times that the pipeline stopped answering; silent_s: how long it did not
    """

    seconds: float = 0.0
    requests: int = 0
    failures: int = 0
    busy_ns: int = 0
    payloads: int = 0
    degraded: int = 0
    outages: int = 0
    silent_s: float = 0.0

    def __sub__(self, earlier: Period) -> Period:
        """The part of this period that `earlier`, which began with it, does not cover."""
        return Period(*(getattr(self, one.name) - getattr(earlier, one.name) for one in fields(self)))

    @property
    def attempts(self) -> int:
        """Requests that came, however they ended."""
        return self.requests + self.failures

    @property
    def rate_hz(self) -> float:
        """Requests a second."""
        return self.attempts / self.seconds if self.seconds > 0 else 0.0

    @property
    def mean_ms(self) -> float | None:
        """Mean latency inside the server; None without an answer."""
        return self.busy_ns / self.requests / 1e6 if self.requests > 0 else None

    @property
    def failed(self) -> float:
        """Share of requests that failed."""
        return self.failures / self.attempts if self.attempts > 0 else 0.0

    @property
    def degraded_share(self) -> float | None:
        """Share of payloads read in part or not at all; None when none was counted."""
        return self.degraded / self.payloads if self.payloads > 0 else None

    def to_json(self) -> dict[str, Any]:
        """For the history; `from_json` reads it back."""
        return {**asdict(self), "seconds": round(self.seconds, 1), "silent_s": round(self.silent_s, 1)}

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> Period:
        """The inverse of `to_json`."""
        return Period(**content)

    def __str__(self) -> str:
        if not self.attempts:
            return f"no request in {self.seconds:.0f} s"
        latency = "" if self.mean_ms is None else f", {self.mean_ms:.0f} ms each"
        degraded = "" if not self.degraded_share else f", {self.degraded_share:.1%} of payloads degraded"
        return f"{self.rate_hz:.1f} requests/s{latency}, {self.failures} failed{degraded}"


class Meter:
    """Reads a pipeline's counters and adds up what happened since it was made.

    statistics: asks the server for the ensemble's counters, RuntimeError when it does not answer
    outcomes:   series of the metrics page -> payloads, see `outcomes`; None when nobody knows the page
    clock:      seconds that only grow
    """

    def __init__(
        self,
        statistics: Callable[[], Statistics],
        outcomes: Callable[[], Mapping[tuple[str, ...], int]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._statistics, self._outcomes, self._clock = statistics, outcomes, clock
        self._start = self._at = clock()
        self._counters: tuple[int, int, int] | None = None
        self._series: Mapping[tuple[str, ...], int] | None = None
        self._answered = True
        self._sum = Period()
        self.read()

    def read(self) -> Period:
        """Everything since the first look."""
        now = self._clock()
        counted = self._count()
        gone = counted is None
        payloads, degraded = (0, 0) if gone else self._count_payloads()
        requests, failures, busy_ns = counted or (0, 0, 0)
        self._sum = Period(
            seconds=now - self._start,
            requests=self._sum.requests + requests,
            failures=self._sum.failures + failures,
            busy_ns=self._sum.busy_ns + busy_ns,
            payloads=self._sum.payloads + payloads,
            degraded=self._sum.degraded + degraded,
            outages=self._sum.outages + (gone and self._answered),
            silent_s=self._sum.silent_s + (now - self._at if gone else 0.0),
        )
        self._answered, self._at = not gone, now
        return self._sum

    def _count(self) -> tuple[int, int, int] | None:
        """Requests, failures and nanoseconds since the last look; None when the server does not answer."""
        try:
            read = self._statistics()
        except RuntimeError:  # counted, as an outage
            return None
        new = (read.success, read.fail, read.success_ns)
        old, self._counters = self._counters, new
        if old is None:
            return (0, 0, 0)
        # Every load of the ensemble and every restart begin anew at 0: what is there came since.
        began_anew = any(now < then for now, then in zip(new, old, strict=True))
        return new if began_anew else (new[0] - old[0], new[1] - old[1], new[2] - old[2])

    def _count_payloads(self) -> tuple[int, int]:
        """Payloads that came, and degraded ones, since the last look."""
        if self._outcomes is None:
            return 0, 0
        try:
            new = self._outcomes()
        except OSError:  # a page that does not come leaves these two figures out, for now
            return 0, 0
        old, self._series = self._series, new
        if old is None:
            return 0, 0
        # A version that is loaded again begins at 0; a series that is new began at 0.
        grown = {
            key: count - (old.get(key, 0) if old.get(key, 0) <= count else 0) for key, count in new.items()
        }
        came = sum(count for key, count in grown.items() if key[-1] in USED | DEGRADED)
        return came, sum(count for key, count in grown.items() if key[-1] in DEGRADED)


def outcomes(page: str, models: frozenset[str]) -> dict[tuple[str, ...], int]:
    """(model, version, modality, status) -> payloads, from the text of a metrics page."""
    found = {}
    for labels, count in OUTCOMES.findall(page):
        label = dict(LABEL.findall(labels))
        if label.get("model") in models:
            key = tuple(label.get(name, "") for name in ("model", "version", "modality", "status"))
            found[key] = int(float(count))
    return found


def fetch(url: str) -> str:
    """The text of a metrics page; OSError when it does not come."""
    with urllib.request.urlopen(url, timeout=PAGE_S) as page:
        return page.read().decode()
