"""The command `crossfuse`: what it prints, where, and how it exits."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from crossfuse._cli import main

from tests.client.conftest import CLIENT
from tests.client.stand_ins import ABSENT, CORRUPT, OK, PARTIAL, Peer, weld_outputs, weld_response


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    for name in ("weld.avi", "a.jpg", "b.jpg", "weld.flac", "weld.csv"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def test_the_verdict_is_a_table_on_stdout(peer: Peer, recordings: Path, capsys) -> None:
    files = ["--video", f"{recordings}/weld.avi", "--image", f"{recordings}/a.jpg", f"{recordings}/b.jpg"]
    files += ["--audio", f"{recordings}/weld.flac", "--sensors", f"{recordings}/weld.csv"]
    assert main(["infer", "weld_inspection", *files, "--url", peer.url]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "Porosity, 70.0%" and err == ""
    assert [line.split()[0] for line in lines if "%" in line] == ["Porosity,", "Porosity", "Good", "Undercut"]
    assert "anomaly score" in out and "0.800" in out
    assert [line.split()[:2] for line in lines[-4:]] == [
        [m, "OK"] for m in ("video", "image", "audio", "sensor")
    ]


def test_lost_recordings_are_told(peer: Peer, recordings: Path, capsys) -> None:
    states = weld_outputs((ABSENT, PARTIAL, CORRUPT, ABSENT), (OK, CORRUPT, ABSENT, ABSENT, ABSENT))
    peer.response = weld_response(states)
    files = [
        "--image",
        f"{recordings}/a.jpg",
        "--image",
        f"{recordings}/b.jpg",
        "--audio",
        f"{recordings}/weld.flac",
    ]
    assert main(["infer", "weld_inspection", *files, "--url", peer.url]) == 0
    out = capsys.readouterr().out
    assert "video   ABSENT   not sent" in out
    assert "image   PARTIAL  used, but something was lost: photo 2 of 2" in out
    assert "audio   CORRUPT  could not be read; the answer was made without it" in out


def test_strict_fails_with_the_states(peer: Peer, recordings: Path, capsys) -> None:
    peer.response = weld_response(weld_outputs((OK, ABSENT, CORRUPT, ABSENT)))
    files = ["--video", f"{recordings}/weld.avi", "--audio", f"{recordings}/weld.flac"]
    assert main(["infer", "weld_inspection", *files, "--strict", "--url", peer.url]) == 1
    out, err = capsys.readouterr()
    assert out == "" and "strict expects every modality sent to be OK, got video OK, audio CORRUPT" in err


def test_json_is_one_object(peer: Peer, recordings: Path, capsys) -> None:
    command = ["infer", "weld_inspection", "--video", f"{recordings}/weld.avi", "--json", "--url", peer.url]
    assert main(command) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["defect"] == "Porosity" and len(answer["attention"]["sensor"]) == 4


def test_status_tells_what_is_ready(peer: Peer, capsys) -> None:
    assert main(["status", "--url", peer.url]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{peer.url}  ready  (Triton 2.51.0)",
        "  weld_inspection          ready",
    ]
    assert main(["status", "--url", peer.url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pipelines"] == {"weld_inspection": True}


def test_status_of_no_server_is_an_answer_and_a_failure(capsys) -> None:
    assert main(["status", "--url", "127.0.0.1:1"]) == 1
    assert capsys.readouterr().out == "127.0.0.1:1  no answer\n"


def test_a_server_that_stays_away_is_a_failure(recordings: Path, capsys) -> None:
    command = ["infer", "weld_inspection", "--video", f"{recordings}/weld.avi", "--url", "127.0.0.1:1"]
    assert main([*command, "--timeout-s", "0.3"]) == 1
    assert capsys.readouterr().err.startswith(
        "crossfuse: weld_inspection at 127.0.0.1:1: expected an answer, got UNAV"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "required: infer|status"),
        (["infer", "weld_inspectoin"], "invalid choice: 'weld_inspectoin'"),
        (
            ["infer", "weld_inspection"],
            "expected at least one of --video, --image, --audio, --sensors, got none",
        ),
        (
            ["infer", "weld_inspection", "--video", "gone.avi"],
            "--video: expected an existing file, got gone.avi",
        ),
        (["status", "--url", "http://here"], "expected host:port of the gRPC endpoint"),
        (["status", "--timeout-s", "-1"], "timeout_s: expected seconds above 0, got -1"),
    ],
)
def test_a_mistyped_command_exits_with_two(words: list[str], sentence: str, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2 and sentence in capsys.readouterr().err


def crossfuse(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "crossfuse", *words],
        env=os.environ | {"PYTHONPATH": str(CLIENT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_leaves_cleanly_and_lets_the_server_finish(peer: Peer, recordings: Path) -> None:
    peer.work_s = 2.0
    running = crossfuse("infer", "weld_inspection", "--video", f"{recordings}/weld.avi", "--url", peer.url)
    while not peer.busy.wait(0.05):
        assert running.poll() is None
    time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate()
    assert running.returncode == 130 and out == ""
    assert (
        "waiting up to 10 s for the server to finish" in err
        and "interrupted" in err
        and "Traceback" not in err
    )
    assert (peer.answered, peer.cancelled) == (1, 0)


def test_the_package_runs_as_a_module(peer: Peer) -> None:
    running = crossfuse("status", "--url", peer.url)
    out, err = running.communicate()
    assert (running.returncode, err) == (0, "") and "ready" in out
