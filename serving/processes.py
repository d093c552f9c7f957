"""What a server leaves in the system: its processes, its shared memory, its ports. Linux, read from /proc."""

import ctypes
import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Stub:
    """A process of the python backend: one instance of one version of a model."""

    pid: int
    instance: str
    model: str
    version: str

    def __str__(self) -> str:
        return f"{self.instance} (pid {self.pid})"


def belonging(shm_prefix: str) -> list[int]:
    """Processes started with `shm_prefix` in their arguments: one server and its python backend stubs.

    The prefix is random and unique per server, which a process id is not for long.
    """
    mark = shm_prefix.encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            executable, _, arguments = _command_line(int(entry.name)).partition(b"\0")
            if mark in arguments and executable.endswith((b"/tritonserver", b"/triton_python_backend_stub")):
                found.append(int(entry.name))
    return sorted(found)


def regions(shm_prefix: str, folder: Path = SHARED_MEMORY) -> list[Path]:
    """Shared memory regions of one server."""
    return sorted(folder.glob(f"{shm_prefix}*"))


def stubs(shm_prefix: str) -> dict[str, Stub]:
    """Region name -> the live python backend process of one server that uses it."""
    found = {}
    for pid in belonging(shm_prefix):
        arguments = _command_line(pid).decode(errors="replace").split("\0")
        # stub, model file, region, two sizes, server's pid, backend folder, handle, instance, ...
        if arguments[0].endswith("/triton_python_backend_stub") and len(arguments) > 8:
            version = Path(arguments[1]).parent
            found[arguments[2]] = Stub(pid, arguments[8], version.parent.name, version.name)
    return found


def deserted(shm_prefix: str, folder: Path = SHARED_MEMORY) -> set[str]:
    """Names of regions that no process uses any more; the server removes those of models it unloads."""
    return {region.name for region in regions(shm_prefix, folder)} - set(stubs(shm_prefix))


def sweep(shm_prefix: str, folder: Path = SHARED_MEMORY, grace_s: float = 5.0) -> tuple[int, int]:
    """Kill what is left of one server and remove its shared memory; returns how many of each there were."""
    left = belonging(shm_prefix)
    for pid in left:
        _send(pid, signal.SIGKILL)
    deadline = time.monotonic() + grace_s
    while belonging(shm_prefix) and time.monotonic() < deadline:
        time.sleep(0.02)
    found = regions(shm_prefix, folder)
    for region in found:
        region.unlink(missing_ok=True)
    return len(left), len(found)


def reap() -> None:
    """Collect children that ended. Call it only when no Popen object still waits for one of them."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:  # none left
        return


def adopt_orphans() -> None:
    """Become the parent of every descendant whose parent dies, so that it can be collected here.

    In a container the first process often collects nobody, and each dead stub would stay a zombie.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_CHILD_SUBREAPER): {os.strerror(number)}")


def listener(port: int) -> str | None:
    """`name (pid 12)` of the process that listens on a TCP port; None when there is none that we may see."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:] if Path(table).exists() else []:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:  # 0A is LISTEN
                inodes.add(fields[9])
    for link in Path("/proc").glob("[0-9]*/fd/*") if inodes else []:
        try:
            match = re.fullmatch(r"socket:\[(\d+)\]", str(link.readlink()))
        except OSError:  # ended meanwhile, or another user's
            continue
        if match and match[1] in inodes:
            pid = int(link.parts[2])
            return f"{Path(os.fsdecode(_command_line(pid).split(bytes(1))[0])).name} (pid {pid})"
    return None


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # ended meanwhile
        return b""


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:  # ended meanwhile: what we wanted
        return
