"""A lock that a process holds by living: the kernel lets go when it ends, however it ends."""

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


@contextlib.contextmanager
def held(path: Path, holder: str, patience_s: float) -> Iterator[None]:
    """Hold the lock, with `holder` written into it for whoever finds it taken.

    patience_s: how long to try; somebody who merely looks has it for microseconds
    errors:     BlockingIOError, its text who holds it
    """
    with path.open("a+") as lock:
        deadline = time.monotonic() + patience_s
        while not _try(lock, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise BlockingIOError(path.read_text())
            time.sleep(0.01)
        _write(lock, holder)
        try:
            yield
        finally:
            _write(lock, "")


def holder_of(path: Path) -> str | None:
    """What its holder wrote into the lock; None when nobody holds it."""
    if not path.exists():
        return None
    with path.open() as lock:
        return None if _try(lock, fcntl.LOCK_SH) else lock.read()


def _write(lock: TextIO, text: str) -> None:
    lock.seek(0)
    lock.truncate()
    lock.write(text)
    lock.flush()


def _try(lock: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
