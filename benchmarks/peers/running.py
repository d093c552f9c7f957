"""Start a peer, wait until it answers, see where it listens, stop it and whatever it started. Linux.

Its processes are told from all others by a random mark in their environment, which children inherit even
where they leave the process group, as Ray's do; only those are ever ended, each by its id.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import Peer, Settings
from benchmarks.peers.environments import MARK, ROOT, environment
from benchmarks.processor import stat_of

START_S = 180.0  # two workers that import torch and compile five engines on two busy cores
STOP_S = 20.0
LISTENING = "0A"
LIFELINE = ROOT / "serving" / "lifeline.py"  # so that no peer outlives a benchmark that is killed


@dataclass(frozen=True)
class Running:
    """A peer that answers."""

    peer: Peer
    told: Settings
    url: str
    mark: str
    log: Path

    def pids(self) -> list[int]:
        """All its processes."""
        return list(family(self.mark))


@contextmanager
def running(
    peer: Peer, told: Settings, programs: Path, folder: Path, answers: Callable[[str], None]
) -> Iterator[Running]:
    """The peer until the end of the block.

    answers: asks once at a URL and raises RuntimeError while there is no answer
    raises: RuntimeError with the end of its log when it does not come up, or listens beyond this machine
    """
    folder.mkdir(parents=True, exist_ok=True)
    mark, log = secrets.token_hex(16), folder / f"{peer.name}.log"
    command = [
        sys.executable,
        str(LIFELINE),
        str(os.getpid()),
        *peer.command(programs, told, folder / peer.name),
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(peer, told, mark, folder),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the benchmark, which then stops it in order
        )
        try:
            found = Running(peer, told, f"127.0.0.1:{told.port}", mark, log)
            _await_answer(found, process, answers)
            elsewhere = listening_elsewhere(mark)
            if elsewhere:
                raise RuntimeError(
                    f"{peer.title}: expected it to listen on the loopback interface only, got {elsewhere}"
                )
            yield found
        finally:
            stop(process, mark)


def stop(process: subprocess.Popen[bytes], mark: str) -> None:
    """Ask the first process to end, then end what is left of the peer."""
    started = family(mark)
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + STOP_S / 4
        for pid in _left(started, mark):
            _send(pid, number)
        while _left(started, mark) and time.monotonic() < deadline:
            time.sleep(0.05)


def family(mark: str) -> dict[int, int]:
    """Processes of a peer, each with when it started: those with the mark, and their descendants.

    Both, since a process that renames itself, as Ray's workers do, writes its title over its environment.
    """
    parents, starts = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (facts := _stat(int(entry.name))):
            _, parents[int(entry.name)], starts[int(entry.name)] = facts
    found = {pid for pid in starts if _is_marked(pid, mark)}
    while new := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= new
    return {pid: starts[pid] for pid in sorted(found)}


def _left(started: dict[int, int], mark: str) -> list[int]:
    """Those that still run; an id that the kernel gave to another process since is not among them."""
    known = {**started, **family(mark)}
    alive = {pid: facts for pid in known if (facts := _stat(pid))}
    return [pid for pid, (state, _, start) in alive.items() if start == known[pid] and state != "Z"]


def _stat(pid: int) -> tuple[str, int, int] | None:
    """State, parent and start time of a process; None when it is gone."""
    fields = stat_of(pid)
    return (fields[0], int(fields[1]), int(fields[19])) if fields else None


def _is_marked(pid: int, mark: str) -> bool:
    try:
        return f"{MARK}={mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # ended meanwhile, or another user's
        return False


def listening_elsewhere(mark: str) -> list[str]:
    """`address:port` of every TCP socket that the peer listens on beyond the loopback interface."""
    sockets = {name for pid in family(mark) for name in _open_files(pid) if name.startswith("socket:")}
    found = []
    for table in ("tcp", "tcp6"):
        path = Path(f"/proc/net/{table}")
        for line in path.read_text().splitlines()[1:] if path.exists() else []:
            fields = line.split()
            if fields[3] == LISTENING and f"socket:[{fields[9]}]" in sockets:
                host, _, port = fields[1].partition(":")
                address = _address(host)
                if not address.is_loopback:
                    found.append(f"{address}:{int(port, 16)}")
    return sorted(found)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """From the kernel's notation: words of four bytes, each in the machine's order (little endian)."""
    words = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    address = ipaddress.ip_address(b"".join(words))
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def _open_files(pid: int) -> list[str]:
    found = []
    try:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                found.append(str(link.readlink()))
            except OSError:  # closed meanwhile
                continue
    except OSError:  # ended meanwhile
        return []
    return found


def _await_answer(found: Running, process: subprocess.Popen[bytes], answers: Callable[[str], None]) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            answers(found.url)
            return
        except RuntimeError as error:
            ended = process.poll()
            if ended is not None or time.monotonic() > deadline:
                state = f"it ended with {ended}" if ended is not None else f"none within {START_S:.0f} s"
                raise RuntimeError(
                    f"{found.peer.title}: expected an answer, got {state} ({error}); its log ends: "
                    f"{tail(found.log)}"
                ) from error
        time.sleep(0.25)


def tail(log: Path, lines: int = 8) -> str:
    """The end of a log."""
    return " | ".join(log.read_text(errors="replace").splitlines()[-lines:])


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:  # ended meanwhile: what we wanted
        return
