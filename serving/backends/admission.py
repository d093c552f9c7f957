"""Admission by expected wait: who could only be answered too late is told so at once.

A request may say how long its caller waits (`timeout` of the KServe protocol, microseconds). The gate knows
how many requests are on their way and, from those that were answered, how long each of them takes while so
many share the machine; what is expected to come too late is refused before anything is decoded. By Little's
law that keeps the queue as long as callers wait, on whatever machine.

However long callers wait, only so many are let in: Triton's own limit (`max_queue_size`) would count those at
the gate alone, and makes a model wait half a second between batches while nothing new arrives.

The last step of a pipeline tells the gate of every answer, in datagrams to a socket in Linux's abstract
namespace: nothing to clean up after a crash. A gate that hears of no answers refuses nobody.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

# Answers come in whole batches, some later than expected. A burst may be let in up to what its requests wait;
# once somebody had to be refused the load is too high, and for a while there has to be room for the uneven.
UNEVEN = 1.25
STRICT_S = 5.0
KEPT = 0.99  # of a point's weight with each further one: the last hundred count
LEAST_VARIANCE = 0.5  # of how many were before: below it a slope would be noise
# A request that is cancelled on its way is never answered: after four times what was expected of it, and two
# seconds that any machine may pause, it counts no more.
LOST_TIMES, LOST_S = 4.0, 2.0
LOOK_UP_S = 0.2  # from listening: whether to stop, or whether the name is free


class Line:
    """What was measured of late as a straight line: y over x, newer points weighing more."""

    def __init__(self) -> None:
        self._weight = self._x = self._y = self._xx = self._xy = 0.0

    def add(self, x: float, y: float) -> None:
        """One more point."""
        sums = (self._weight, self._x, self._y, self._xx, self._xy)
        new = (1.0, x, y, x * x, x * y)
        self._weight, self._x, self._y, self._xx, self._xy = (
            KEPT * old + one for old, one in zip(sums, new, strict=True)
        )

    def at(self, x: float) -> float:
        """The line's y; while all points have about one x, as if it went through (-1, 0).

        0 without points.
        """
        if not self._weight:
            return 0.0
        x_mean, y_mean = self._x / self._weight, self._y / self._weight
        variance = self._xx / self._weight - x_mean * x_mean
        steepest = y_mean / (x_mean + 1.0)
        if variance < LEAST_VARIANCE:
            return y_mean + steepest * (x - x_mean)
        slope = (self._xy / self._weight - x_mean * y_mean) / variance
        return y_mean + min(max(slope, 0.0), steepest) * (x - x_mean)


class Forecast:
    """How long the next request would take; for several threads at once.

    A lone request takes what its own steps take; each that is before it adds what the machine needs for one
    more, which is less, as batches are cheaper. Hence a line: time over requests before it, of the last ones.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # When each came, how many were before it, and until when it may be on its way.
        self._under_way: deque[tuple[float, int, float]] = deque()
        self._times = Line()
        self.hears = False

    def next(self, now_s: float) -> tuple[int, float]:
        """For a request that comes now: how many are under way, and seconds until it is answered.

        Both 0 while no answer was ever heard of. No seconds while nothing is under way: a request that nobody
        delays is how a slow hour is found to be over.
        """
        with self._lock:
            while self._under_way and self._under_way[0][2] < now_s:
                self._under_way.popleft()
            before = len(self._under_way) if self.hears else 0
            return before, self._times.at(before) if before else 0.0

    def admitted(self, now_s: float) -> None:
        """A request was let in."""
        with self._lock:
            before = len(self._under_way)
            until_s = now_s + LOST_TIMES * self._times.at(before) + LOST_S
            self._under_way.append((now_s, before, until_s))

    def answered(self, count: int, now_s: float) -> None:
        """So many were answered, those that came first."""
        with self._lock:
            self.hears = True
            for _ in range(min(count, len(self._under_way))):
                came_s, before, _ = self._under_way.popleft()
                self._times.add(before, now_s - came_s)

    def forget(self) -> None:
        """Nothing is under way any more, as far as is known."""
        with self._lock:
            self._under_way.clear()


class Gate:
    """The gate's end: a thread that hears of answers.

    name: of the gate model; most: requests under way; clock: seconds
    """

    def __init__(self, name: str, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.forecast, self._most = Forecast(), most
        self._clock, self._address = clock, address(name)
        self._strict_until_s = 0.0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="answers", daemon=True)
        self._thread.start()

    def refusal(self, timeout_s: float) -> str:
        """Why a request that waits so long is not let in, or nothing; 0 waits as long as it takes."""
        now_s = self._clock()
        under_way, takes_s = self.forecast.next(now_s)
        if under_way >= self._most:
            return (
                f"overloaded: expected fewer than {self._most} requests under way, got {under_way}; "
                "try again later"
            )
        takes_s *= UNEVEN if now_s < self._strict_until_s else 1.0
        if not timeout_s or takes_s <= timeout_s:
            return ""
        self._strict_until_s = now_s + STRICT_S
        return (
            f"overloaded: expected an answer within {timeout_s * 1e3:.0f} ms, with what waits already it may "
            f"take {takes_s * 1e3:.0f} ms; try again later, or raise the timeout"
        )

    def admit(self) -> None:
        """Count a request that goes on."""
        self.forecast.admitted(self._clock())

    def close(self) -> None:
        """Stop listening and give the name back."""
        self._closed.set()
        self._thread.join()

    def _listen(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
            heard.settimeout(LOOK_UP_S)
            while not self._closed.is_set() and not self._named(heard):
                self._closed.wait(LOOK_UP_S)
            self.forecast.forget()  # who came before was answered unheard
            while not self._closed.is_set():
                try:
                    self.forecast.answered(int(heard.recv(16)), self._clock())
                except TimeoutError:
                    continue

    def _named(self, heard: socket.socket) -> bool:
        """Take the name, unless the gate of an earlier version still has it."""
        try:
            heard.bind(self._address)
        except OSError:
            return False
        return True


class Teller:
    """The last step's end; nobody may listen, then nothing is lost but the gate's foresight.

    gate: name of the gate model, empty for a step that is not the last
    """

    @classmethod
    def from_config(cls, config: Mapping) -> Teller:
        """For the model of this configuration, as Triton hands it to a backend."""
        return cls(config.get("parameters", {}).get("ADMISSION_GATE", {}).get("string_value", ""))

    def __init__(self, gate: str) -> None:
        self._address = address(gate) if gate else ""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._untold = 0

    def answered(self, count: int) -> None:
        """Tell of so many answers; what the gate has no room for is told with the next."""
        if not self._address:
            return
        self._untold += count
        try:
            self._socket.sendto(str(self._untold).encode(), self._address)
        except BlockingIOError:
            return
        except OSError:  # no gate listens: these were answered unheard
            pass
        self._untold = 0

    def close(self) -> None:
        """Tell nothing more."""
        self._socket.close()


def address(gate: str) -> str:
    """Where the gate of this server listens: model processes of one server have one parent."""
    return f"\0crossfuse-{os.getppid()}-{gate}"
