"""When to try again, and how fast.

An inference changes nothing on the server, so a request that met a dead, restarting or full server may be
sent again. Two brakes keep that from becoming a storm: each request backs off exponentially with jitter, and
all requests of one client share a pace. The pace delays and never refuses: a restart of ten seconds loses no
request, however many wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Retries:
    """How a client retries. The total time is bounded by the client's `timeout_s`, not by a number of
    attempts."""

    initial_backoff_s: float = 0.1
    max_backoff_s: float = 1.0  # a restarted server is found again within about a second
    per_second: float = 16.0  # retries of one client, over all its requests
    burst: int = 32  # retries that may go at once before the pace applies

    def __post_init__(self) -> None:
        if not 0 < self.initial_backoff_s <= self.max_backoff_s:
            raise ValueError(
                f"retries: expected 0 < initial_backoff_s <= max_backoff_s, got {self.initial_backoff_s} and "
                f"{self.max_backoff_s}; pass retries=None to send everything once"
            )
        if self.per_second <= 0 or self.burst < 1:
            raise ValueError(
                f"retries: expected per_second > 0 and burst >= 1, got {self.per_second} and {self.burst}; "
                "pass retries=None to send everything once"
            )

    def backoff_s(self, attempt: int, draw: float) -> float:
        """Seconds before attempt + 1: doubling from the initial backoff, jittered to between half and all of
        it.

        attempt: the attempt that failed, from 1; draw: uniform in [0, 1).
        """
        whole = min(self.max_backoff_s, self.initial_backoff_s * 2.0 ** min(attempt - 1, 60))
        return whole * (0.5 + 0.5 * draw)


class Pace:
    """A bucket of retry tokens shared by every request of one client; an answer gives one token back."""

    def __init__(self, retries: Retries, clock: Callable[[], float]) -> None:
        self._retries = retries
        self._clock = clock
        self._tokens = float(retries.burst)
        self._filled_at = clock()
        self._lock = threading.Lock()

    def reserve(self) -> float:
        """Take a token and return the seconds to wait until it is there (0 while the burst lasts)."""
        with self._lock:
            self._fill()
            self._tokens -= 1
            return max(0.0, -self._tokens / self._retries.per_second)

    def give_back(self) -> None:
        """Return a token: a request was answered, or a reserved retry will not be made."""
        with self._lock:
            self._tokens = min(self._retries.burst, self._tokens + 1)

    def _fill(self) -> None:
        now = self._clock()
        earned = (now - self._filled_at) * self._retries.per_second
        self._tokens = min(self._retries.burst, self._tokens + earned)
        self._filled_at = now
