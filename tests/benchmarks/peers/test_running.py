"""Peers are brought up, told from other processes, kept to this machine, and leave nothing behind."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.peers import PEERS, Peer, Settings, running
from benchmarks.peers.environments import MARK
from benchmarks.peers.sides import adjacent_ports

PROGRAMS = Path(sys.executable).parent
# Deaf to SIGTERM, with a child in a session of its own that has lost its environment, as Ray's workers do.
LISTENER = """
import signal, socket, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["/bin/sleep", "300"], start_new_session=True, env={})
where = socket.create_server((sys.argv[1], int(sys.argv[2])))
time.sleep(300)
"""


def listener(host):
    def command(programs, told, folder):
        return [str(programs / "python"), "-c", LISTENER, host, str(told.port)]

    return Peer("listener", "Listener", "pip", "form", command, "none")


def listens(url):
    host, _, port = url.rpartition(":")
    try:
        socket.create_connection((host, int(port))).close()
    except OSError as error:
        raise RuntimeError(str(error)) from error


def is_alive(pid):
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(running, "STOP_S", 2.0)


def test_whatever_a_peer_started_is_ended_and_nothing_else(tmp_path):
    other = subprocess.Popen(["sleep", "300"])
    told = Settings(adjacent_ports(1))
    try:
        with running.running(listener("127.0.0.1"), told, PROGRAMS, tmp_path, listens) as found:
            pids = found.pids()
            assert len(pids) == 2 and other.pid not in pids and os.getpid() not in pids
        assert not any(map(is_alive, pids))
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_peer_that_listens_beyond_this_machine_is_not_measured(tmp_path):
    told = Settings(adjacent_ports(1))
    sentence = (
        rf"^Listener: expected it to listen on the loopback interface only, got \['0.0.0.0:{told.port}'\]"
    )
    with (
        pytest.raises(RuntimeError, match=sentence),
        running.running(listener("0.0.0.0"), told, PROGRAMS, tmp_path, listens),
    ):
        raise AssertionError("entered")


def test_a_peer_that_does_not_come_up_is_told_with_the_end_of_its_log(tmp_path):
    def command(programs, told, folder):
        return [str(programs / "python"), "-c", "raise SystemExit('no such model')"]

    broken = Peer("broken", "Broken", "pip", "form", command, "none")
    sentence = r"^Broken: expected an answer, got it ended with 1 .* its log ends: no such model"
    with (
        pytest.raises(RuntimeError, match=sentence),
        running.running(broken, Settings(adjacent_ports(1)), PROGRAMS, tmp_path, listens),
    ):
        raise AssertionError("entered")


def test_a_process_is_known_by_its_mark():
    process = subprocess.Popen(["/bin/sleep", "300"], env={MARK: "abc"})
    try:
        deadline = time.monotonic() + 5
        while not running.family("abc") and time.monotonic() < deadline:
            time.sleep(0.01)
        assert list(running.family("abc")) == [process.pid] and not running.family("ab")
    finally:
        process.kill()
        process.wait()


def test_every_peer_has_its_requirements_pinned():
    for name, one in PEERS.items():
        assert one.name == name
        lines = [line for line in one.requirements.read_text().splitlines() if not line.startswith("#")]
        assert lines and all("==" in line for line in lines), name
        assert any(line.partition("==")[0].partition("[")[0] == one.package for line in lines)
