"""deploy/compose.yaml: what it builds, mounts and runs exists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from serving import container_verbs
from serving.server import SHM_BUSY_BYTES, SHM_BYTES, Options, Ports

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
SERVICES = COMPOSE["services"]
STAGES = re.findall(r"^FROM \S+ AS (\w+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


def test_every_service_is_built_from_a_stage_of_the_dockerfile():
    for service in SERVICES.values():
        assert (ROOT / "deploy" / service["build"]["context"]).resolve() == ROOT
        assert service["build"]["target"] in STAGES
    assert {service["build"]["target"] for service in SERVICES.values()} == set(STAGES)


def test_the_server_has_one_gpu_and_decoders_on_it():
    devices = SERVICES["server"]["deploy"]["resources"]["reservations"]["devices"]
    (gpu,) = devices
    assert (gpu["driver"], gpu["count"]) == ("nvidia", 1)
    assert {"gpu", "compute", "utility", "video"} == set(
        gpu["capabilities"]
    )  # video: NVDEC, utility: nvidia-smi


def test_the_shared_memory_is_enough_for_all_pipelines_at_work():
    size = SERVICES["server"]["shm_size"]
    assert size.endswith("gb")
    models = 27  # processes of the python backend with all four pipelines
    assert int(size[:-2]) << 30 >= models * (SHM_BYTES + SHM_BUSY_BYTES)
    assert int(size[:-2]) << 30 >= 512 << 20


def test_volumes_are_where_the_server_looks():
    mounts = dict(one.split(":")[:2] for one in SERVICES["server"]["volumes"])
    assert mounts == {"models": str(container_verbs.MODELS), "engines": str(container_verbs.ENGINES)}
    assert set(mounts) == set(COMPOSE["volumes"])
    exporting = dict(one.split(":")[:2] for one in SERVICES["export"]["volumes"])
    assert exporting.pop("models") == mounts["models"]
    assert [(ROOT / "deploy" / host).resolve() for host in exporting] == [ROOT / "weights"]


def test_its_ports_are_the_servers_own():
    ports = Ports()
    assert SERVICES["server"]["ports"] == [f"{n}:{n}" for n in (ports.http, ports.grpc, ports.metrics)]


def test_a_stop_leaves_requests_time_to_be_answered():
    assert int(SERVICES["server"]["stop_grace_period"].rstrip("s")) > Options.exit_timeout_s + 15


@pytest.mark.parametrize(("service", "module"), [("export", "export"), ("load", "benchmarks")])
def test_the_commands_of_the_others_are_understood(service, module):
    command = SERVICES[service]["command"]
    verb = [command[0]] if module == "benchmarks" else []
    done = subprocess.run(
        [sys.executable, "-m", module, *verb, "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in command if word.startswith("--"))


def test_who_asks_waits_until_the_server_is_healthy():
    for name in ("client", "load"):
        assert SERVICES[name]["depends_on"] == {"server": {"condition": "service_healthy"}}
        assert SERVICES[name]["profiles"] == [name]
