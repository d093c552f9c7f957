"""A supervised server: it survives crashes, and nothing survives it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

import serving
from serving import control
from serving.processes import belonging, regions, stubs, sweep
from serving.server import options_from_json, options_to_json
from serving.supervisor import backoff_s, describe_exit
from tests.serving.small_models import write_config

# gRPC shares connections in a process, and with them how long the last refusal says to wait.
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


def doubled(address: serving.Address, value: float) -> float:
    tensor = InferInput("x", [1, 3], "FP32")
    tensor.set_data_from_numpy(np.full((1, 3), value, np.float32))
    with InferenceServerClient(address.grpc, channel_args=OWN_CONNECTION) as client:
        return float(client.infer("doubler", [tensor]).as_numpy("answer")[0, 0])


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_first_restart_comes_at_once_and_later_ones_ever_more_slowly():
    assert [backoff_s(quick) for quick in range(5)] == [0.0, 0.5, 1.0, 2.0, 4.0]
    assert backoff_s(1000) == 30.0


def test_an_exit_is_described_by_its_signal_or_its_status():
    assert describe_exit(-signal.SIGSEGV) == "was killed by SIGSEGV"
    assert describe_exit(1) == "exited with 1"


def test_options_travel_to_the_supervisor_unchanged(repository):
    options = control.options(["doubler"], repository)
    assert options_from_json(options_to_json(options)) == options


@pytest.mark.server
def test_the_state_file_says_what_runs_where(server, repository):
    state = server.state()
    assert (state.phase, state.restarts, state.error) == ("ready", 0, "")
    assert state.pipelines == state.models == ("doubler", "stretch", "lookup")
    assert state.repository == str(repository)
    assert is_alive(state.supervisor_pid)
    assert state.server_pid in belonging(state.shm_prefix)
    assert server.grpc == f"127.0.0.1:{state.ports.grpc}"
    assert Path(state.log) == server.log


@pytest.mark.server
def test_every_model_is_one_process_with_one_region_and_one_server(server):
    prefix = server.state().shm_prefix
    assert len(belonging(prefix)) == 1 + 3
    assert len(regions(prefix)) == 3


@pytest.mark.server
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_server_that_crashes_is_back_and_its_remains_are_gone(server, eventually, number):
    before = server.state()
    remains = belonging(before.shm_prefix)
    old_regions = regions(before.shm_prefix)
    os.kill(before.server_pid, number)
    eventually(lambda: server.state().restarts == before.restarts + 1 and server.state().phase == "ready")
    now = server.state()
    assert doubled(server, 21.0) == 42.0
    assert not any(is_alive(pid) for pid in remains)
    assert not any(region.exists() for region in old_regions)
    assert len(belonging(now.shm_prefix)) == 1 + 3
    line = (server.folder / "supervisor.log").read_text().splitlines()[-1]
    assert f"tritonserver (pid {before.server_pid}) " in line
    assert f"restart {now.restarts} (pid {now.server_pid}) ready in " in line
    assert now.last_crash.startswith(f"tritonserver (pid {before.server_pid}) ")


@pytest.mark.server
def test_a_backend_process_that_crashes_is_noticed_though_the_server_calls_its_model_ready(
    server, eventually
):
    before = server.state()
    victim = next(stub for stub in stubs(before.shm_prefix).values() if stub.model == "doubler")
    os.kill(victim.pid, signal.SIGKILL)
    eventually(lambda: server.state().restarts == before.restarts + 1 and server.state().phase == "ready")
    assert doubled(server, 4.0) == 8.0
    assert server.state().last_crash.startswith(f"{victim} died under tritonserver (pid {before.server_pid})")
    assert not is_alive(before.server_pid)


@pytest.mark.server
def test_a_model_that_comes_goes_or_crashes_while_it_loads_is_no_reason_to_restart(server, repository):
    before = server.state()
    crashing = write_config(repository, "crashing")
    config = crashing / "config.pbtxt"
    config.write_text(config.read_text().replace('"onnxruntime"', '"python"'))
    (crashing / "1" / "model.py").write_text("import os, time\ntime.sleep(0.8)\nos.abort()\n")
    with InferenceServerClient(server.grpc, channel_args=OWN_CONNECTION) as client:
        client.unload_model("doubler")
        client.load_model("doubler")
        with pytest.raises(InferenceServerException, match="load failed for model 'crashing'"):
            client.load_model("crashing")
    assert doubled(server, 4.0) == 8.0
    assert server.state().server_pid == before.server_pid


@pytest.mark.server
def test_nothing_is_left_when_the_block_ends_with_an_error(repository):
    with pytest.raises(ZeroDivisionError), serving.running(["doubler"], repository) as address:
        prefix, supervisor = address.state().shm_prefix, address.state().supervisor_pid
        raise ZeroDivisionError
    assert belonging(prefix) == []
    assert regions(prefix) == []
    assert not is_alive(supervisor)
    assert not address.folder.exists()


@pytest.mark.server
def test_a_server_ends_with_its_supervisor_even_if_that_is_killed(repository, tmp_path, eventually):
    address = control.start(control.options(["doubler"], repository), tmp_path)
    state = address.state()
    os.kill(state.supervisor_pid, signal.SIGKILL)
    eventually(lambda: not belonging(state.shm_prefix))
    assert control.address(tmp_path) is None
    control.stop(tmp_path)
    assert regions(state.shm_prefix) == []
    assert address.state().phase == "stopped"


OWNER = """
import pathlib, sys, time
from serving import control
options = control.options(["doubler"], pathlib.Path(sys.argv[1]))
print(control.start(options, pathlib.Path(sys.argv[2]), owned=True).state().shm_prefix, flush=True)
time.sleep(600)
"""


@pytest.mark.server
def test_an_owned_server_ends_with_its_owner_even_if_that_is_killed(repository, tmp_path, eventually):
    command = [sys.executable, "-c", OWNER, str(repository), str(tmp_path)]
    with subprocess.Popen(command, cwd=control.ROOT, stdout=subprocess.PIPE, text=True) as owner:
        prefix = owner.stdout.readline().strip()
        assert belonging(prefix)
        owner.kill()
    eventually(lambda: not belonging(prefix) and not regions(prefix) and control.address(tmp_path) is None)


@pytest.mark.server
def test_a_server_whose_state_folder_is_removed_stops(repository, tmp_path, eventually):
    folder = tmp_path / "state"
    state = control.start(control.options(["doubler"], repository), folder).state()
    (folder / "lock").unlink()
    eventually(lambda: not is_alive(state.supervisor_pid))
    assert belonging(state.shm_prefix) == []


def test_sweeping_touches_only_what_carries_the_prefix(tmp_path):
    for name in ("crossfuse_1_aa_one", "crossfuse_1_aa_two", "crossfuse_1_ab_one", "somebody_else"):
        (tmp_path / name).touch()
    assert sweep("crossfuse_1_aa_", tmp_path) == (0, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["crossfuse_1_ab_one", "somebody_else"]
