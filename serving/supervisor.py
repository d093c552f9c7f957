"""Keep one server running: start it, restart it when it crashes, leave nothing behind when it ends.

Triton 2.51 can crash when a client cancels (https://github.com/triton-inference-server/server/issues/7368): a
crash is an event to survive, not a surprise. Runs as a process of its own, which `serving.control` starts.
"""

import argparse
import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from serving import state as states
from serving.backend_processes import BackendProcesses
from serving.container import installation_of
from serving.embedded import Installation
from serving.processes import adopt_orphans, reap, sweep
from serving.releases.keeper import Keeper, bring_up
from serving.releases.live import Unreachable
from serving.required import models_of
from serving.server import Options, command, failure, options_from_json, wait_answering

LIFELINE = Path(__file__).with_name("lifeline.py")
LONGEST_BACKOFF_S = 30.0
SETTLED_S = 10.0  # a server that lived this long did not crash at its start
POLL_S = 0.1
FIRST_START_ATTEMPTS = 3

log = logging.getLogger("serving.supervisor")


class Died(Exception):
    """The server ended by itself; the text says how."""


class Stopped(Exception):
    """Somebody asked us to stop."""


class Supervisor:
    """One server and what is known about it, from start to stop."""

    def __init__(
        self, options: Options, folder: Path, installation: Installation, owner: int | None = None
    ) -> None:
        """owner: process to live no longer than; it must be the parent of this one."""
        self._options = options
        self._folder = folder
        self._installation = installation
        self._owner = owner
        self._server: subprocess.Popen | None = None
        self._stops = 0
        self._quick = 0  # starts in a row that did not last
        self._log = folder / "server.log"
        self._log_start = 0
        self._born = time.monotonic()
        self._state = states.State(
            phase="starting",
            supervisor_pid=os.getpid(),
            server_pid=None,
            host=options.host,
            ports=options.ports,
            pipelines=options.pipelines,
            models=tuple(models_of(options.repository, options.pipelines, options.target)),
            repository=str(options.repository),
            shm_prefix=options.shm_prefix,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            log=str(self._log),
        )

    def run(self, timeout_s: float = 180.0) -> int:
        """Serve until asked to stop; returns the exit status: 0 stopped, 1 never became ready.

        timeout_s: how long one start may take
        """
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        adopt_orphans()
        self._log.write_text("")
        outcome: dict[str, Any] = {
            "phase": "failed",
            "error": "the supervisor itself failed; see supervisor.log",
        }
        try:
            self._first_start(timeout_s)
            while True:
                self._recover(self._watch(), timeout_s)
        except Stopped:
            log.info("stopping")
            outcome = {"phase": "stopped"}
        except (Died, TimeoutError, OSError) as error:
            log.error("gave up: %s", error)
            outcome = {"phase": "failed", "error": str(error)}
        finally:
            self._end_server()
            self._note(**outcome, server_pid=None)
        return 0 if outcome["phase"] == "stopped" else 1

    def _first_start(self, timeout_s: float) -> None:
        """A server that exits says why, and would again; one that a signal killed gets two more chances."""
        for attempt in range(FIRST_START_ATTEMPTS):
            self._pause(backoff_s(attempt))
            try:
                took_s = self._start(timeout_s)
            except Died as died:
                by_signal = self._server is not None and (self._server.returncode or 0) < 0
                if not by_signal or attempt == FIRST_START_ATTEMPTS - 1:
                    raise
                log.warning("%s; attempt %d follows", died, attempt + 2)
            else:
                log.info("tritonserver (pid %s) ready in %.1f s", self._state.server_pid, took_s)
                return

    def _watch(self) -> str:
        """Sleep until the server dies, or is as good as dead; returns how."""
        with contextlib.closing(Keeper(self._options)) as keeper:
            backends = BackendProcesses(self._options, keeper.can_spare)
            while True:
                try:
                    self._check_alive()
                except Died as died:
                    return str(died).splitlines()[0]
                if lost := backends.lost():
                    self._kill()
                    return f"{lost} died under tritonserver (pid {self._state.server_pid})"
                keeper.look()
                time.sleep(POLL_S)

    def _recover(self, crash: str, timeout_s: float) -> None:
        """Start again, at once after the first crash, ever more slowly when starts fail; one log line."""
        if time.monotonic() - self._born > SETTLED_S:
            self._quick = 0
        while True:
            restarts = self._state.restarts + 1
            self._note(phase="restarting", restarts=restarts, last_crash=crash, server_pid=None)
            self._pause(backoff_s(self._quick))
            self._quick += 1
            try:
                took_s = self._start(timeout_s, "restarting")
            except (Died, TimeoutError) as error:
                log.error("%s; restart %d failed: %s", crash, restarts, str(error).replace("\n", " | "))
                self._end_server()
            else:
                log.warning(
                    "%s; restart %d (pid %s) ready in %.1f s", crash, restarts, self._state.server_pid, took_s
                )
                return

    def _start(self, timeout_s: float, phase: states.Phase = "starting") -> float:
        """Start the server and wait until it is ready; returns the seconds it took."""
        sweep(self._options.shm_prefix)
        reap()
        self._log_start = self._log.stat().st_size
        self._born = time.monotonic()
        with self._log.open("ab") as output:
            self._server = subprocess.Popen(
                [
                    sys.executable,
                    str(LIFELINE),
                    str(os.getpid()),
                    *command(self._options, self._installation),
                ],
                env=os.environ | self._installation.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in our terminal is ours to turn into an orderly stop
            )
        self._note(phase=phase, server_pid=self._server.pid)
        took_s = wait_answering(self._options, timeout_s, self._check_alive)
        took_s += self._bring_up(timeout_s - took_s)
        self._note(phase="ready")
        return took_s

    def _bring_up(self, timeout_s: float) -> float:
        """Load what is to be live, in a thread: this one notices meanwhile what ends the waiting."""
        started = time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            loading = pool.submit(bring_up, self._options)
            try:
                while not wait([loading], POLL_S).done:
                    self._check_alive()
                    if time.monotonic() - started > timeout_s:
                        raise TimeoutError(
                            f"server: expected its models within {timeout_s:.0f} s; see {self._log}"
                        )
                loading.result()
            except Unreachable as error:
                self._await_exit()
                raise Died(f"tritonserver (pid {self._state.server_pid}) stopped answering") from error
            except (RuntimeError, ValueError) as error:
                raise Died(
                    f"tritonserver (pid {self._state.server_pid}) did not load its models\n{error}"
                ) from error
            finally:
                if not loading.done():
                    self._kill()  # which ends the call that the thread waits in
        return time.monotonic() - started

    def _await_exit(self, patience_s: float = 2.0) -> None:
        """Raise Died as soon as a server that no longer answers has ended; return if it does not end."""
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            self._check_alive()
            time.sleep(POLL_S)

    def _check_alive(self) -> None:
        orphaned = self._owner is not None and os.getppid() != self._owner
        forgotten = not (self._folder / "lock").exists()  # `make clean`: nobody could find us to stop us
        if self._stops or orphaned or forgotten:
            raise Stopped
        if self._server is not None and self._server.poll() is not None:
            how, lived_s = describe_exit(self._server.returncode), time.monotonic() - self._born
            why = failure(self._log_text())
            raise Died(f"tritonserver (pid {self._server.pid}) {how} after {lived_s:.1f} s\n{why}")

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._stops:
                raise Stopped
            time.sleep(min(POLL_S, seconds))

    def _end_server(self) -> None:
        """Drain and stop the server, kill it when it does not, remove what is left of it."""
        if self._server is not None and self._server.poll() is None:
            was_serving = self._state.phase == "ready"
            self._note(phase="stopping")
            if was_serving:
                self._server.terminate()
                self._wait(self._options.exit_timeout_s + 5.0)
            self._kill()
        sweep(self._options.shm_prefix)
        reap()

    def _kill(self) -> None:
        if self._server is not None:
            self._server.kill()
            self._server.wait()

    def _wait(self, timeout_s: float) -> None:
        """Wait for the end of the server, or for a second request to stop, which means now."""
        until = time.monotonic() + timeout_s
        asked = self._stops
        while self._server is not None and self._server.poll() is None:
            if time.monotonic() > until or self._stops > max(asked, 1):
                log.warning("tritonserver (pid %s) did not stop in time; killing it", self._server.pid)
                return
            time.sleep(POLL_S)

    def _log_text(self) -> str:
        """What the server wrote since its last start."""
        with self._log.open("rb") as text:
            text.seek(self._log_start)
            return text.read().decode(errors="replace")

    def _note(self, **changes: Any) -> None:
        self._state = replace(self._state, **changes)
        states.write(self._folder, self._state)

    def _ask_to_stop(self, number: int, frame: object) -> None:
        self._stops += 1


def backoff_s(quick: int) -> float:
    """Seconds to wait before a start, after `quick` starts in a row that did not last: 0, 0.5, 1 ... 30."""
    return min(LONGEST_BACKOFF_S, 0.5 * 2 ** (quick - 1)) if quick else 0.0


def describe_exit(status: int) -> str:
    """How a process ended, from Popen's return code."""
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"exited with {status}"


def supervise(options: Options, folder: Path, timeout_s: float = 180.0, owner: int | None = None) -> int:
    """Supervise in this process until told to stop; returns the exit status, 3 when another one does."""
    try:
        with states.sole_owner(folder):
            return Supervisor(options, folder, installation_of(options), owner).run(timeout_s)
    except BlockingIOError as error:
        log.error("%s", error)
        return 3


def main() -> int:
    """Entry point of the detached process."""
    parser = argparse.ArgumentParser(prog="python -m serving.supervisor", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--options", type=options_from_json, required=True)
    parser.add_argument("--timeout-s", type=float, default=180.0)
    parser.add_argument("--owner", type=int)
    arguments = parser.parse_args()
    configure_log()
    return supervise(arguments.options, arguments.folder, arguments.timeout_s, arguments.owner)


def configure_log() -> None:
    """Lines with the time on stderr."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")


if __name__ == "__main__":
    sys.exit(main())
