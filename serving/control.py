"""Start, look at and stop a supervised server from another process."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from serving import state as states
from serving.container import installation_of
from serving.processes import SHARED_MEMORY, listener, sweep
from serving.releases.residents import resident_versions
from serving.releases.store import Store
from serving.required import missing_files, models_of, never_exported
from serving.server import (
    HOST,
    SHM_BYTES,
    Options,
    Ports,
    failure,
    free_ports,
    is_free,
    loaded_models,
    not_ready,
    options_to_json,
)
from serving.state import ROOT, STATE_FOLDER, State

REPOSITORY = ROOT / "model_repository"
PIPELINES = ("weld_inspection", "video_quality", "vision_language", "visual_question_answering")
Progress = Callable[[float, int, int], None]  # seconds so far, models ready, models in all

_children: dict[int, subprocess.Popen] = {}


@dataclass(frozen=True)
class Address:
    """Where a running server answers and where its state and logs lie."""

    host: str
    ports: Ports
    folder: Path

    @property
    def grpc(self) -> str:
        """`host:port`, what a gRPC client wants."""
        return f"{self.host}:{self.ports.grpc}"

    @property
    def http(self) -> str:
        """`http://host:port`."""
        return f"http://{self.host}:{self.ports.http}"

    @property
    def metrics(self) -> str:
        """The URL that Prometheus reads."""
        return f"http://{self.host}:{self.ports.metrics}/metrics"

    @property
    def log(self) -> Path:
        """The server's own log."""
        return self.folder / "server.log"

    def state(self) -> State:
        """What the supervisor last wrote down."""
        state = states.read(self.folder)
        if state is None:
            raise RuntimeError(f"{self.folder}: expected the state of a server, found none")
        return state


def options(
    pipelines: Sequence[str] | None = None,
    repository: Path = REPOSITORY,
    ports: Ports | None = None,
    host: str = HOST,
    target: str = "cpu",
    triton: Path | None = None,
) -> Options:
    """Options of a server of its own; `default_pipelines` unless named, on free ports unless said which.

    triton: folder of the installation of NVIDIA's container; None for the embedded one
    """
    if ports is None:
        ports = Ports(*free_ports(3))
    if pipelines is None:
        pipelines, _ = default_pipelines(repository, target)
    prefix = f"crossfuse_{os.getpid()}_{secrets.token_hex(4)}_"
    return Options(repository.resolve(), tuple(pipelines), ports, prefix, target, host, triton=triton)


def check(wanted: Options) -> None:
    """Raise RuntimeError or ValueError, in one sentence per fault, when the server could not start."""
    installation_of(wanted)
    missing = missing_sentences(wanted)
    if missing:
        raise RuntimeError("\n".join(missing))
    check_shared_memory(SHM_BYTES * loaded_versions(wanted))
    for kind, port in vars(wanted.ports).items():
        if not is_free(port, wanted.host):
            who = listener(port) or "a process of another user"
            raise RuntimeError(
                f"{kind} port {port}: expected it free, {who} has it; stop that or choose another --port"
            )


def missing_sentences(wanted: Options) -> list[str]:
    """What must be done before the pipelines can load: a sentence per pipeline, or per file that is gone."""
    sentences: dict[str, None] = {}
    for pipeline in wanted.pipelines:
        whole = never_exported(wanted.repository, pipeline, wanted.target)
        files = missing_files(wanted.repository, [pipeline], wanted.target)
        sentences |= dict.fromkeys([whole] if whole else files)
    return list(sentences)


def default_pipelines(
    repository: Path = REPOSITORY, target: str = "cpu"
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a server serves unless told: every pipeline that was ever exported; all there are if none was.

    returns: their names, and a sentence about each of the others that the repository has
    """
    there = [name for name in PIPELINES if (repository / name).is_dir()]
    unexported = {name: never_exported(repository, name, target) for name in there}
    served = tuple(name for name, sentence in unexported.items() if not sentence)
    if not served:
        return tuple(there) or PIPELINES, ()
    return served, tuple(sentence for sentence in unexported.values() if sentence)


def loaded_versions(wanted: Options) -> int:
    """How many versions of models a start loads: every model once, and what the previous release adds."""
    models = set(models_of(wanted.repository, wanted.pipelines, wanted.target))
    records = Store(wanted.repository).read_all()
    released = [resident_versions(records[name]) for name in wanted.pipelines if name in records]
    more = {(model, number) for one in released for model, numbers in one.items() for number in numbers[1:]}
    return len(models) + len(more)


def check_shared_memory(wanted_bytes: int, folder: Path = SHARED_MEMORY) -> None:
    """Raise RuntimeError when the regions of all models would not fit; the server takes them whole."""
    free = shutil.disk_usage(folder).free
    if free < wanted_bytes:
        raise RuntimeError(
            f"{folder}: expected {wanted_bytes >> 20} MiB free for the shared memory of the models, "
            f"got {free >> 20} MiB; in a container say --shm-size=512m"
        )


def start(
    wanted: Options,
    folder: Path = STATE_FOLDER,
    timeout_s: float = 180.0,
    progress: Progress | None = None,
    owned: bool = False,
) -> Address:
    """Start a supervised server and wait until it is ready; the one that runs already counts.

    owned:  the server ends when this process does, whatever ends it
    errors: RuntimeError that says why it did not start, nothing is left behind then; nor after Ctrl-C
    """
    if states.supervisor_pid(folder) is not None:
        return _await_ready(folder, None, timeout_s, progress)
    clear(folder)
    check(wanted)
    supervisor = _spawn(wanted, folder, timeout_s, owned)
    try:
        return _await_ready(folder, supervisor, timeout_s + 10, progress)
    except BaseException:
        stop(folder)
        raise


def stop(folder: Path = STATE_FOLDER) -> bool:
    """Stop the server of a folder and wait for its end; False when none was running."""
    pid = states.supervisor_pid(folder)
    state = states.read(folder)
    if pid is not None:
        # A few seconds more than the supervisor gives the server to drain and to die.
        deadline = time.monotonic() + Options.exit_timeout_s + 15.0
        _signal(pid, signal.SIGTERM)
        while states.supervisor_pid(folder) == pid:
            if time.monotonic() > deadline:
                _signal(pid, signal.SIGKILL)
            time.sleep(0.05)
    child = _children.pop(pid or 0, None)
    if child is not None:
        child.wait()
    if state is not None:
        clear(folder)
    return pid is not None


def clear(folder: Path) -> None:
    """Remove what a server without a supervisor left behind: processes, shared memory, an untrue state."""
    state = states.read(folder)
    if state is not None and states.supervisor_pid(folder) is None:
        sweep(state.shm_prefix)
        if state.phase not in ("stopped", "failed"):
            states.write(folder, states.ended(state))


def address(folder: Path = STATE_FOLDER) -> Address | None:
    """Where the server of a folder answers; None when no supervisor runs there."""
    state = states.read(folder)
    if state is None or states.supervisor_pid(folder) is None:
        return None
    return Address(state.host, state.ports, folder)


def readiness(state: State) -> dict[str, bool]:
    """Every model of the served pipelines, and whether it answers as ready."""
    every = Options(Path(state.repository), state.models, state.ports, state.shm_prefix, host=state.host)
    missing = not_ready(every)
    return {name: "the server" not in missing and name not in missing for name in state.models}


@contextlib.contextmanager
def running(
    pipelines: Sequence[str] | None = None,
    repository: Path = REPOSITORY,
    ports: Ports | None = None,
    timeout_s: float = 180.0,
) -> Iterator[Address]:
    """A supervised server for the length of a `with` block, on free ports; gone afterwards, come what may.

    >>> with serving.running(pipelines=["weld_inspection"]) as server:
    ...     client = InferenceServerClient(server.grpc)
    """
    with tempfile.TemporaryDirectory(prefix="crossfuse-serving-") as name:
        folder = Path(name)
        try:
            yield start(options(pipelines, repository, ports), folder, timeout_s, owned=True)
        finally:
            stop(folder)


def _spawn(wanted: Options, folder: Path, timeout_s: float, owned: bool) -> subprocess.Popen:
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "serving.supervisor", "--folder", str(folder.resolve())]
    command += ["--options", options_to_json(wanted), "--timeout-s", str(timeout_s)]
    command += ["--owner", str(os.getpid())] if owned else []
    with (folder / "supervisor.log").open("wb") as output:
        child = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # it outlives our terminal, and Ctrl-C reaches only us
        )
    _children[child.pid] = child
    return child


def _await_ready(
    folder: Path, supervisor: subprocess.Popen | None, timeout_s: float, progress: Progress | None
) -> Address:
    """Follow the state file until the server is ready; RuntimeError when it will not be."""
    started = time.monotonic()
    while time.monotonic() - started < timeout_s:
        ended = supervisor is not None and supervisor.poll() is not None
        state = states.read(folder)
        is_current = state is not None and (supervisor is None or state.supervisor_pid == supervisor.pid)
        if state is not None and is_current:
            if state.phase == "ready":
                return Address(state.host, state.ports, folder)
            if state.phase in ("failed", "stopped"):
                raise RuntimeError(state.error or "the server was stopped while it started")
            if progress is not None:
                ready = set(loaded_models(_text(folder / "server.log"))) & set(state.models)
                progress(time.monotonic() - started, len(ready), len(state.models))
        if ended and supervisor is not None:
            if states.supervisor_pid(folder) is None:
                raise RuntimeError(f"the supervisor ended: {failure(_text(folder / 'supervisor.log'))}")
            supervisor = None  # another start was faster: its server is the one to wait for
        time.sleep(0.1)
    raise RuntimeError(f"server: expected to be ready within {timeout_s:.0f} s; see {folder / 'server.log'}")


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # ended meanwhile: what we wanted
        os.kill(pid, number)
