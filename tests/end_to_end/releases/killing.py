"""Runs one release step in a process of its own and kills it at one chosen moment.

A moment is everything that changes what another process could see: a file opened for writing, synced,
renamed or removed, a folder made or removed, a model loaded or unloaded (before and after). Counting them and
then dying at each in turn visits every state that a crash can leave. A file that is open and not yet synced
is cut to half first: that is what a power failure leaves of it, and a kill of one larger than its buffer.

`python -m tests.end_to_end.releases.killing` is the process that the tests fork steps from, since importing
takes a second and forking milliseconds. It reads one order a line and answers with one line.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.end_to_end.releases.sets import PIPELINE

ROOT = Path(__file__).parents[3]
# Audit events of the standard library that change a file system; the position of the path in their arguments.
CHANGES = {
    "os.rename": 1,
    "os.mkdir": 0,
    "os.remove": 0,
    "os.rmdir": 0,
    "os.link": 1,
    "os.symlink": 1,
    "os.truncate": 0,
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True)
class Order:
    """One step to run: a method of `Releases` with its arguments.

    die_at: the moment to die at, from 1; 0 lives.  kill: whom to kill then; 0 is the step itself
    by:     the signal; SIGSTOP makes it stand still instead
    """

    repository: str
    url: str
    golden: str
    verb: str
    arguments: dict[str, Any] = field(default_factory=dict)
    die_at: int = 0
    kill: int = 0
    by: int = signal.SIGKILL


@dataclass(frozen=True)
class Outcome:
    """How a step ended: by a signal, or with what it raised (empty when it did its work)."""

    killed: bool
    error: str
    moments: tuple[str, ...]


class Moments:
    """Counts the moments of this process, tells of each, and dies at one of them."""

    def __init__(self, order: Order, tell: int) -> None:
        """tell: a file descriptor that gets a line per moment."""
        self._inside = os.path.realpath(order.repository) + os.sep
        self._die_at, self._victim, self._signal = order.die_at, order.kill or os.getpid(), order.by
        self._tell = tell
        self._count = 0
        self._unsynced = ""
        self._lock = threading.RLock()
        self._busy = threading.local()

    def listen(self) -> None:
        """From now on; an audit hook cannot be taken away again, so this is for a process that ends."""
        from tritonclient.grpc import InferenceServerClient as Server

        sys.addaudithook(self._hear)
        os.fsync = self._around_fsync(os.fsync)
        for name in ("load_model", "unload_model"):
            setattr(Server, name, self._around_call(name, getattr(Server, name)))

    def pass_by(self, what: str) -> None:
        """One moment; the last one of the victim if it is its turn."""
        with self._lock:
            self._busy.here = True
            self._count += 1
            os.write(self._tell, f"{what}\n".encode())
            if self._count == self._die_at:
                self._tear()
                os.kill(self._victim, self._signal)
            self._busy.here = False

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if getattr(self._busy, "here", False):
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes | os.PathLike) and flags & WRITING and self._ours(path):
                self.pass_by(f"open {self._name(path)}")
                self._unsynced = os.fsdecode(path)
        elif event in CHANGES and self._ours(path := arguments[CHANGES[event]]):
            self.pass_by(f"{event} {self._name(path)}")

    def _around_fsync(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def fsync(descriptor: Any) -> None:
            number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
            path = str(Path(f"/proc/self/fd/{number}").readlink())
            self.pass_by(f"fsync {self._name(path)}: before")
            real(descriptor)
            if os.path.realpath(self._unsynced or os.sep) == path:
                self._unsynced = ""
            self.pass_by(f"fsync {self._name(path)}: after")

        return fsync

    def _around_call(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(client: Any, model: str, *arguments: Any, **options: Any) -> Any:
            self.pass_by(f"{name} {model}: before")
            answer = real(client, model, *arguments, **options)
            self.pass_by(f"{name} {model}: after")
            return answer

        return call

    def _tear(self) -> None:
        dies = self._victim == os.getpid() and self._signal == signal.SIGKILL
        torn = Path(self._unsynced)
        if dies and torn.is_file() and torn.stat().st_nlink == 1:
            os.truncate(torn, torn.stat().st_size // 2)

    def _ours(self, path: Any) -> bool:
        """Paths relative to an open folder (as rmtree uses them) count: nothing else here does that."""
        text = os.fsdecode(path)
        return not Path(text).is_absolute() or os.path.realpath(text).startswith(self._inside)

    def _name(self, path: Any) -> str:
        return os.fsdecode(path).removeprefix(self._inside)


class Operator:
    """Somebody who runs release steps on one repository and may be killed in the middle; a `with` block."""

    def __init__(self, repository: Path, url: str, golden: Path) -> None:
        self._where = (str(repository), url, str(golden))

    def __enter__(self) -> Operator:
        paths = os.pathsep.join([str(ROOT), str(ROOT / "client")])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.end_to_end.releases.killing"],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def run(
        self, verb: str, *, die_at: int = 0, kill: int = 0, by: int = signal.SIGKILL, **arguments: Any
    ) -> Outcome:
        """Run one step; die_at, kill and by as in `Order`."""
        assert self._process.stdin and self._process.stdout
        order = Order(*self._where, verb, arguments, die_at, kill, by)
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return Outcome(answer["killed"], answer["error"], tuple(answer["moments"]))

    def do(self, verb: str, **arguments: Any) -> Outcome:
        """Run one step to its end; AssertionError when it does not do its work."""
        outcome = self.run(verb, **arguments)
        assert not outcome.error and not outcome.killed, f"{verb}: {outcome}"
        return outcome


def perform(order: Order, tell: int, error: int) -> None:
    """Run the step in this process, which ends with it."""
    from serving.releases.sequence import Releases

    try:
        releases = Releases(PIPELINE, Path(order.repository), order.url, golden=Path(order.golden))
        Moments(order, tell).listen()
        getattr(releases, order.verb)(**order.arguments)
    except (RuntimeError, ValueError, LookupError, OSError) as raised:
        os.write(error, f"{type(raised).__name__}: {raised}".encode())
    except BaseException:
        os.write(error, traceback.format_exc().encode())
    os._exit(0)


def obey(order: Order) -> Outcome:
    """Fork, run the step there, and say how it ended."""
    told, tell = os.pipe()
    failed, error = os.pipe()
    child = os.fork()
    if child == 0:
        perform(order, tell, error)
    os.close(tell)
    os.close(error)
    with os.fdopen(told) as moments, os.fdopen(failed) as text:
        lines, why = moments.read().splitlines(), text.read()
    _, status = os.waitpid(child, 0)
    return Outcome(os.WIFSIGNALED(status), why, tuple(lines))


def main() -> None:
    """Import what steps need, then fork one for every order; no gRPC channel may exist before a fork."""
    import numpy  # noqa: F401
    import onnx  # noqa: F401
    import tritonclient.grpc  # noqa: F401

    import serving.releases.sequence  # noqa: F401

    for line in sys.stdin:
        outcome = obey(Order(**json.loads(line)))
        sys.stdout.write(json.dumps(asdict(outcome)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
