"""`releases.json` on disk: read by everybody, written in one step by whoever holds the lock."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from export.publish import sync
from serving import lock
from serving.releases import record
from serving.releases.record import Pipeline

FILE = "releases.json"
# Reports, staging and the lock. Inside the repository, since a container mounts just that and a rename must
# not leave the file system; outside the folders of models, where Triton takes what it finds for versions.
FOLDER = ".releases"
PATIENCE_S = 0.5  # somebody who merely looks whether the lock is free holds it for microseconds


class Busy(RuntimeError):
    """Somebody else is changing releases of this repository."""


@dataclass(frozen=True)
class Store:
    """The releases of one model repository."""

    repository: Path

    @property
    def path(self) -> Path:
        """`releases.json`."""
        return self.repository / FILE

    @property
    def folder(self) -> Path:
        """Where reports and everything under construction lie."""
        return self.repository / FOLDER

    def read_all(self) -> dict[str, Pipeline]:
        """Pipeline name -> what is known about it; empty when nothing was ever released.

        errors: ValueError that says what to do when the file is not what we wrote
        """
        try:
            return record.from_json(json.loads(self.path.read_text()))
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{self.path}: expected the releases of this repository, got {error!r}; restore the file "
                "from a backup, or move it away to begin anew with what the newest version folders hold"
            ) from error

    def read(self, pipeline: str) -> Pipeline | None:
        """What is known about one pipeline; None when nothing of it was ever released."""
        return self.read_all().get(pipeline)

    def write(self, pipeline: str, changed: Pipeline) -> Pipeline:
        """Replace one pipeline's record, in one step and durably; only for the holder of the lock."""
        text = record.to_text({**self.read_all(), pipeline: changed})
        self.folder.mkdir(exist_ok=True)
        draft = self.folder / f"{FILE}.draft"
        with draft.open("w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        draft.rename(self.path)
        sync(self.repository)
        return changed

    @contextlib.contextmanager
    def locked(self, verb: str) -> Iterator[None]:
        """Be the only one who changes releases here; the kernel lets go when we die, however we die.

        errors: Busy, with who is at it since when
        """
        me = f"`release {verb}` by {whoami()} (process {os.getpid()}) since {record.now()}"
        self.folder.mkdir(exist_ok=True)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(lock.held(self.folder / "lock", me, PATIENCE_S))
            except BlockingIOError as error:
                raise Busy(
                    f"{self.repository.name}: {str(error) or 'somebody'} is at work; "
                    "wait for the end of that, then try again"
                ) from error
            yield

    def holder(self) -> str | None:
        """Who is changing releases now, with which verb and since when; None when nobody is."""
        return lock.holder_of(self.folder / "lock")


def whoami() -> str:
    """user@host, for the history and for whoever finds the lock taken."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
