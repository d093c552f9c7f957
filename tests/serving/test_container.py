"""An image of tritonserver, as far as it goes without Docker: its layout, a real server that runs from it."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from serving import container, embedded, health, state
from serving.embedded import BACKENDS, STUB
from serving.server import Options, Ports, command
from tests.serving.small_models import doubling_graph, write_config

ROOT = Path(__file__).parents[2]
OURS = sorted(path.parent.name for path in BACKENDS.glob("*/model.py"))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """What an image holds: the real server and python backend of the wheel, NVIDIA's own dali."""
    wheel = embedded.wheel_folder()
    triton = tmp_path / "tritonserver"
    (triton / "bin").mkdir(parents=True)
    (triton / "bin" / "tritonserver").symlink_to(wheel / "bin" / "tritonserver")
    python = triton / "backends" / "python"
    shutil.copytree(wheel / "backends" / "python", python)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copy2(wheel / "python_backend_stubs" / version / STUB, python / STUB)
    (python / STUB).chmod(0o755)
    for name in ("dali", "tensorrt"):
        (triton / "backends" / name).mkdir()
        (triton / "backends" / name / f"libtriton_{name}.so").touch()
    return triton


def test_our_backends_come_beside_those_of_the_image_and_dali_instead_of_its_own(image):
    assert container.lay_out(image) == OURS
    found = sorted(path.name for path in (image / "backends").iterdir())
    assert found == sorted({*OURS, "python", "tensorrt", "admission.py", "batches.py"})
    assert not (image / "backends/dali/libtriton_dali.so").exists()
    assert (image / "backends/dali/model.py").read_text() == (BACKENDS / "dali/model.py").read_text()
    assert not any(path.is_symlink() for path in (image / "backends").rglob("*"))


def test_a_backend_that_the_image_has_itself_is_left_alone(image):
    native = image / "backends" / "onnxruntime"
    native.mkdir()
    (native / "libtriton_onnxruntime.so").touch()
    assert "onnxruntime" not in container.lay_out(image)
    assert [path.name for path in native.iterdir()] == ["libtriton_onnxruntime.so"]


def test_an_image_that_was_laid_out_is_ready_to_run(image):
    container.lay_out(image)
    installation = container.installed(image)
    assert installation.tritonserver == image / "bin" / "tritonserver"
    assert installation.environment["PATH"].startswith(str(Path(sys.executable).parent))


@pytest.mark.parametrize("path", [f"backends/python/{STUB}", "backends/tensorrt/libtriton_tensorrt.so"])
def test_an_image_that_lacks_a_part_is_refused_by_its_name(image, path):
    container.lay_out(image)
    (image / path).unlink()
    with pytest.raises(RuntimeError, match=f"{path}: expected it in an image of tritonserver, found none"):
        container.installed(image)


def test_the_images_own_dali_is_refused_since_it_fails_a_batch_for_one_file(image):
    with pytest.raises(RuntimeError, match="dali: expected our backend there, found another"):
        container.installed(image)


def test_the_gpus_server_has_memory_for_what_steps_hand_on_and_is_otherwise_the_same():
    commands = {}
    for target in ("cpu", "gpu"):
        options = Options(Path("/models"), ("weld_inspection",), Ports(), "crossfuse_7_", target)
        commands[target] = command(options, embedded.Installation(Path("t"), Path("b"), {}))
    assert set(commands["gpu"]) - set(commands["cpu"]) == {
        "--model-config-name=gpu",
        "--cuda-memory-pool-byte-size=0:536870912",
    }


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    import onnx

    onnx.save(doubling_graph(), write_config(tmp_path / "models", "doubler") / "1" / "model.onnx")
    return tmp_path / "models"


@pytest.mark.server
def test_a_container_serves_until_it_is_told_to_stop_and_its_health_check_knows(
    image, repository, tmp_path, eventually
):
    container.lay_out(image)
    folder = tmp_path / "state"
    words = ["--target", "cpu", "--pipeline", "doubler", "--port", "0", "--host", "127.0.0.1"]
    places = ["--repository", repository, "--triton", image, "--state", folder]
    assert "expected the state of a server, found none" in health.unready(folder)
    log = (tmp_path / "log").open("w")
    server = subprocess.Popen(
        [sys.executable, "-m", "serving", "container", *words, *map(str, places)],
        cwd=ROOT,
        env=os.environ
        | {"LD_LIBRARY_PATH": embedded.install().environment["LD_LIBRARY_PATH"]},  # an image's own
        stderr=log,
    )
    try:
        eventually(lambda: health.unready(folder) == "" or server.poll() is not None)
        assert server.poll() is None, (tmp_path / "log").read_text()
        check = [sys.executable, "-m", "serving.health", "--state", str(folder)]
        assert subprocess.run(check, cwd=ROOT).returncode == 0
        assert doubled(state.read(folder)) == [2.0, 4.0, 6.0]
        server.send_signal(signal.SIGTERM)  # what `docker stop` sends
        assert server.wait(30) == 0
        stopped = subprocess.run(check, cwd=ROOT, capture_output=True, text=True)
        assert stopped.returncode == 1
        assert "expected a server that is ready, it is stopped" in stopped.stderr
    finally:
        server.kill()
        log.close()


def doubled(running: state.State) -> list[float]:
    from tritonclient.grpc import InferenceServerClient, InferInput

    with InferenceServerClient(f"127.0.0.1:{running.ports.grpc}") as client:
        rows = InferInput("x", [1, 3], "FP32")
        rows.set_data_from_numpy(np.array([[1, 2, 3]], np.float32))
        return client.infer("doubler", [rows]).as_numpy("answer")[0].tolist()


def test_a_server_that_answers_no_more_is_unhealthy(tmp_path):
    one = state.State("ready", 1, 2, "0.0.0.0", Ports(*range(20001, 20004)), ("doubler",), (), "", "", "", "")
    state.write(tmp_path, one)
    assert "doubler: expected http://127.0.0.1:20002/v2/models/doubler/ready to say ready" in health.unready(
        tmp_path
    )


@pytest.mark.parametrize(
    ("mounted", "sentence"),
    [(True, "serving: gpu: expected"), (False, "expected the folder or volume of the")],
)
def test_a_start_that_cannot_succeed_says_so_in_one_sentence_and_writes_nothing(
    image, tmp_path, mounted, sentence
):
    container.lay_out(image)
    models = tmp_path / "m"
    if mounted:
        models.mkdir()
    places = ["--repository", models, "--triton", image, "--engines", tmp_path / "e"]
    done = subprocess.run(
        [sys.executable, "-m", "serving", "container", *map(str, places)],
        cwd=ROOT,
        env={**os.environ, "PATH": str(Path(sys.executable).parent)},  # no nvidia-smi, were there one
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert sentence in done.stderr.splitlines()[-1]
    assert len(done.stderr.splitlines()) == 1
    assert not mounted or not list(models.iterdir())
