"""`python -m serving`, as a person types it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import serving
from serving import control
from serving import state as states
from serving.processes import belonging, regions
from tests.serving.small_models import write_config


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "serving", *map(str, arguments)]
    return subprocess.run(command, cwd=control.ROOT, capture_output=True, text=True, check=False)


def process_ids(folder: Path) -> list[int]:
    state = states.read(folder)
    return [] if state is None else [state.supervisor_pid, *belonging(state.shm_prefix)]


def test_help_pays_for_no_graphs_networks_or_calls():
    script = "import sys, serving.__main__; print({'onnx', 'torch', 'grpc'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", script], cwd=control.ROOT, capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


@pytest.fixture(scope="module")
def started(repository, tmp_path_factory) -> Iterator[tuple[Path, subprocess.CompletedProcess]]:
    folder = tmp_path_factory.mktemp("state")
    yield (
        folder,
        run("start", "--state", folder, "--repository", repository, "--pipeline", "doubler", "--port", 0),
    )
    run("stop", "--state", folder)


@pytest.mark.server
def test_start_prints_the_address_and_only_that_to_stdout(started):
    folder, done = started
    assert done.returncode == 0
    assert done.stdout == control.address(folder).grpc + "\n"
    assert "0 of 1 models ready" in done.stderr
    assert "metrics http://127.0.0.1:" in done.stderr


@pytest.mark.server
def test_starting_twice_gives_the_same_server(started, repository):
    folder, done = started
    before = process_ids(folder)
    again = run("start", "--state", folder, "--repository", repository, "--pipeline", "doubler")
    assert (again.returncode, again.stdout) == (0, done.stdout)
    assert "already running since" in again.stderr
    assert process_ids(folder) == before


@pytest.mark.server
def test_starting_something_else_beside_a_running_server_is_refused(started, repository):
    folder, _ = started
    refused = run("start", "--state", folder, "--repository", repository, "--pipeline", "stretch")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "stretch: the server that runs serves doubler; stop it first" in refused.stderr


@pytest.mark.server
def test_status_lists_what_is_ready_and_the_restarts(started):
    folder, done = started
    status = run("status", "--state", folder)
    assert status.returncode == 0
    assert status.stdout.splitlines()[0].split() == ["doubler", "ready"]
    assert f"ready at {done.stdout.strip()}, started " in status.stdout
    assert "0 restarts" in status.stdout


@pytest.mark.server
def test_logs_show_both_ends(started):
    folder, _ = started
    logs = run("logs", "--state", folder, "--lines", 5).stdout
    assert "tritonserver (pid " in logs
    assert "Started Metrics Service" in logs


@pytest.mark.server
def test_a_taken_port_is_reported_with_who_has_it(started, tmp_path, repository):
    folder, _ = started
    state = states.read(folder)
    options = ("--repository", repository, "--pipeline", "doubler", "--port", state.ports.grpc)
    refused = run("start", "--state", tmp_path, *options)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert (
        f"grpc port {state.ports.grpc}: expected it free, tritonserver (pid {state.server_pid}) has it"
        in refused.stderr
    )


@pytest.mark.server
def test_stop_leaves_nothing_and_can_be_repeated(repository, tmp_path):
    run("start", "--state", tmp_path, "--repository", repository, "--pipeline", "doubler", "--port", 0)
    state = states.read(tmp_path)
    assert belonging(state.shm_prefix)
    first, second = run("stop", "--state", tmp_path), run("stop", "--state", tmp_path)
    assert (first.returncode, first.stderr) == (0, "serving: stopped\n")
    assert (second.returncode, second.stderr) == (0, "serving: nothing was running\n")
    assert belonging(state.shm_prefix) == []
    assert regions(state.shm_prefix) == []
    assert run("status", "--state", tmp_path).returncode == 1


@pytest.mark.server
def test_ctrl_c_during_a_start_leaves_nothing(repository, tmp_path, eventually):
    command = [
        sys.executable,
        "-m",
        "serving",
        "start",
        "--state",
        str(tmp_path),
        "--repository",
        str(repository),
    ]
    command += ["--pipeline", "doubler", "--port", "0"]
    with subprocess.Popen(command, cwd=control.ROOT, stderr=subprocess.PIPE, text=True) as starting:
        eventually(lambda: states.read(tmp_path) is not None)
        starting.send_signal(signal.SIGINT)
        message = starting.communicate()[1]
    assert starting.returncode == 130
    assert message.endswith("serving: interrupted\n")
    state = states.read(tmp_path)
    assert state.phase == "stopped"
    assert belonging(state.shm_prefix) == []
    assert regions(state.shm_prefix) == []
    assert control.address(tmp_path) is None


@pytest.mark.server
def test_in_the_foreground_ctrl_c_stops_it_orderly(repository, tmp_path, eventually):
    command = [sys.executable, "-m", "serving", "start", "--foreground", "--state", str(tmp_path)]
    command += ["--repository", str(repository), "--pipeline", "doubler", "--port", "0"]
    with subprocess.Popen(command, cwd=control.ROOT, stderr=subprocess.PIPE, text=True) as serving_here:
        eventually(
            lambda: tmp_path.joinpath("state.json").exists() and states.read(tmp_path).phase == "ready"
        )
        assert states.read(tmp_path).supervisor_pid == serving_here.pid
        serving_here.send_signal(signal.SIGINT)
        log = serving_here.communicate()[1]
    assert serving_here.returncode == 0
    assert "ready in" in log
    assert log.endswith("stopping\n")
    assert belonging(states.read(tmp_path).shm_prefix) == []


def test_a_missing_engine_is_said_before_anything_starts(tmp_path):
    write_config(tmp_path / "models", "weld_small_video_encoder")
    refused = run(
        "start",
        "--state",
        tmp_path / "s",
        "--repository",
        tmp_path / "models",
        "--pipeline",
        "weld_small_video_encoder",
    )
    assert refused.returncode == 1
    assert refused.stderr == (
        "serving: weld_small_video_encoder/1/model.onnx is missing; run `python -m export weld_small`\n"
    )
    assert not (tmp_path / "s" / "state.json").exists()


def test_too_little_shared_memory_is_said_before_anything_starts():
    with pytest.raises(
        RuntimeError, match=r"/dev/shm: expected 1073741824 MiB free .*, got \d+ MiB; in a container"
    ):
        control.check_shared_memory(1 << 50)


def test_status_of_nothing_is_1_and_stop_of_nothing_is_0(tmp_path):
    assert run("status", "--state", tmp_path).returncode == 1
    assert run("stop", "--state", tmp_path).returncode == 0


def test_a_mistyped_command_is_2():
    assert run("strat").returncode == 2
    assert run("start", "--port", 70000).returncode == 2


def test_the_address_knows_every_endpoint(tmp_path):
    address = serving.Address("127.0.0.1", control.Ports(8001, 8000, 8002), tmp_path)
    assert (address.grpc, address.http) == ("127.0.0.1:8001", "http://127.0.0.1:8000")
    assert address.metrics == "http://127.0.0.1:8002/metrics"


def test_the_lock_is_held_by_one_supervisor_and_dropped_with_it(tmp_path):
    assert states.supervisor_pid(tmp_path) is None
    with states.sole_owner(tmp_path):
        assert states.supervisor_pid(tmp_path) == os.getpid()
        with pytest.raises(
            BlockingIOError, match=f"expected to be the only supervisor, {os.getpid()} is one"
        ):
            states.sole_owner(tmp_path, patience_s=0.1).__enter__()
    assert states.supervisor_pid(tmp_path) is None
