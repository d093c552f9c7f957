"""Steps as they are taken: one line each with its time and what it found, on stderr."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol, TextIO

BAR = 24  # characters
REDRAW_S = 0.2
LINE_S = 5.0  # where lines stay, a minute of watching is a dozen of them


class Step(Protocol):
    """One step under way, for whoever looks on."""

    def progress(self, what: str, done: int, total: int) -> None:
        """How far it has come; total 0 where nobody knows."""

    def found(self, text: str) -> None:
        """What it found or did, once, before its end."""


class Display(Protocol):
    """Shows the steps as they are taken."""

    def step(self, verb: str) -> AbstractContextManager[Step]:
        """A step from its begin to its end; an error that leaves it failed it."""


class Quiet:
    """Shows nothing; also its own step."""

    @contextlib.contextmanager
    def step(self, verb: str) -> Iterator[Step]:
        """Begin a step that nobody looks at."""
        yield self

    def progress(self, what: str, done: int, total: int) -> None:
        """Show nothing."""

    def found(self, text: str) -> None:
        """Show nothing."""


class Lines:
    """A line per step: rewritten in place on a terminal, else written when it begins and when it ends."""

    def __init__(self, stream: TextIO | None = None, columns: int = 110) -> None:
        self._stream = stream or sys.stderr
        self._columns = columns

    @contextlib.contextmanager
    def step(self, verb: str) -> Iterator[Step]:
        """Show a step from its begin to its end."""
        shown = (Rewritten if self._stream.isatty() else Plain)(verb, self._stream, self._columns)
        with shown:
            yield shown


class Plain:
    """One step as plain lines: its begin, now and then what it is at, its end."""

    def __init__(self, verb: str, stream: TextIO, columns: int) -> None:
        self._verb, self._stream, self._columns = verb, stream, columns
        self._text, self._started = "", time.monotonic()
        self._next = self._started + LINE_S

    def progress(self, what: str, done: int, total: int) -> None:
        """A line every few seconds; at once what has no measure of how far it has come."""
        if total <= 0 or time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_S
            self._write(f"{self._verb:8}  {share(done, total)}{what}")

    def found(self, text: str) -> None:
        """Keep it for the last line."""
        self._text = text

    def __enter__(self) -> Plain:
        self._write(f"{self._verb:8}  ...")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._write(ending(self._verb, kind, time.monotonic() - self._started, self._text))

    def _write(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


class Rewritten(Plain):
    """One step as a single line of a terminal, with a clock that goes on while nothing is reported."""

    def __init__(self, verb: str, stream: TextIO, columns: int) -> None:
        super().__init__(verb, stream, columns)
        self._now = ""
        self._over = threading.Event()
        self._clock = threading.Thread(target=self._tick, daemon=True)

    def progress(self, what: str, done: int, total: int) -> None:
        """Shown at the next tick."""
        self._now = f"{bar(done, total)}{what}"

    def __enter__(self) -> Rewritten:
        self._clock.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._over.set()
        self._clock.join()
        self._stream.write("\r\x1b[K")
        super().__exit__(kind, error, trace)

    def _tick(self) -> None:
        while not self._over.wait(REDRAW_S):
            line = f"{self._verb:8}  {'':5}{time.monotonic() - self._started:6.1f} s  {self._now}"
            self._stream.write(f"\r\x1b[K{line[: self._columns - 1]}")
            self._stream.flush()


def bar(done: int, total: int) -> str:
    """How far, as a bar; empty where nobody knows."""
    if total <= 0:
        return ""
    full = BAR * min(done, total) // total
    return f"[{'#' * full}{'.' * (BAR - full)}] "


def share(done: int, total: int) -> str:
    """How far, in per cent; empty where nobody knows."""
    return f"{done / total:4.0%}  " if total > 0 else ""


def ending(verb: str, kind: type[BaseException] | None, seconds: float, text: str) -> str:
    """The last line of a step: how it ended, how long it took, what it found."""
    interrupted = kind is not None and not issubclass(kind, Exception)
    state = "stop" if interrupted else "FAIL" if kind else "done"
    return f"{verb:8}  {state} {seconds:6.1f} s  {text}".rstrip()
