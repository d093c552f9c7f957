"""What is known about a server, in a folder: `state.json`, `lock`, `server.log`, `supervisor.log`."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from serving import lock
from serving.server import Ports

ROOT = Path(__file__).resolve().parents[1]
STATE_FOLDER = ROOT / "build" / "serving"

Phase = Literal["starting", "ready", "restarting", "stopping", "stopped", "failed"]


@dataclass(frozen=True)
class State:
    """One moment of a supervised server.

    restarts: how often the server was started again after a crash; error: why phase is `failed`, else empty
    """

    phase: Phase
    supervisor_pid: int
    server_pid: int | None
    host: str
    ports: Ports
    pipelines: tuple[str, ...]
    models: tuple[str, ...]
    repository: str
    shm_prefix: str
    started: str
    log: str
    restarts: int = 0
    last_crash: str = ""
    error: str = ""


def write(folder: Path, state: State) -> None:
    """Replace `state.json` in one step: a reader sees the old or the new one, never half."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"state.json.{os.getpid()}"
    draft.write_text(json.dumps(asdict(state), indent=2) + "\n")
    draft.rename(folder / "state.json")


def read(folder: Path) -> State | None:
    """The last state that was written; None when there never was one."""
    try:
        fields = json.loads((folder / "state.json").read_text())
    except FileNotFoundError:
        return None
    for name in ("pipelines", "models"):
        fields[name] = tuple(fields[name])
    return State(**fields | {"ports": Ports(**fields["ports"])})


@contextmanager
def sole_owner(folder: Path, patience_s: float = 1.0) -> Iterator[None]:
    """Hold the folder's lock, our process id in it; the kernel drops it when we die, however we die.

    errors: BlockingIOError when another supervisor holds it for `patience_s`; a mere look takes microseconds
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(lock.held(folder / "lock", str(os.getpid()), patience_s))
        except BlockingIOError as error:
            raise BlockingIOError(f"{folder}: expected to be the only supervisor, {error} is one") from error
        yield


def supervisor_pid(folder: Path) -> int | None:
    """Process id of the live supervisor of a folder; None when there is none."""
    text = lock.holder_of(folder / "lock")
    return int(text) if text else None


def ended(state: State) -> State:
    """The state of a server whose supervisor is gone without having said so."""
    return replace(state, phase="stopped", server_pid=None, error="the supervisor was killed")
