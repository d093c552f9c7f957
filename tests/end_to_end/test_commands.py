"""What a newcomer types works as the README says."""

import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CROSSFUSE = Path(sys.executable).with_name("crossfuse")


@pytest.fixture(scope="module")
def folder(welds, tmp_path_factory) -> Path:
    """One weld's files under the names that the README uses."""
    place = tmp_path_factory.mktemp("readme")
    weld = welds[0]
    (place / "weld.avi").write_bytes(weld.video)
    (place / "weld.flac").write_bytes(weld.audio)
    (place / "weld.csv").write_bytes(weld.sensor)
    for number, photo in enumerate(weld.image[:2], 1):
        (place / f"{number}.jpg").write_bytes(photo)
    return place


def test_the_python_of_the_readme_runs(server, folder):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    script = code.replace("127.0.0.1:8001", server.grpc)
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Status.ABSENT" in done.stdout


def test_the_shell_command_of_the_readme_answers_and_draws(server, folder):
    (line,) = re.findall(r"^crossfuse infer .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    command = [str(CROSSFUSE), *line.split()[1:], "--url", server.grpc, "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["usable"]) == {"video", "image", "audio", "sensor"}
    assert (folder / "out.png").read_bytes().startswith(b"\x89PNG")


def test_the_client_installs_alone_without_torch_and_asks(server, folder, tmp_path):
    venv.create(tmp_path / "fresh", with_pip=True)
    python = tmp_path / "fresh" / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--constraint", str(ROOT / "constraints.txt"), str(ROOT / "client")], check=True)
    script = (
        "import sys, crossfuse\n"
        f"with crossfuse.Client({server.grpc!r}) as client:\n"
        "    print(client.infer('weld_inspection', sensor='weld.csv').status)\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(python), "-c", script], cwd=folder, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    installed = subprocess.run(
        [*pip[:3], "list", "--format=json"], capture_output=True, text=True, check=True
    )
    assert not {"torch", "av", "matplotlib"} & {entry["name"] for entry in json.loads(installed.stdout)}


def test_a_server_that_is_not_there_is_one_sentence(folder):
    command = [str(CROSSFUSE), "infer", "weld_inspection", "--audio", "weld.flac", "--url", "127.0.0.1:1"]
    done = subprocess.run([*command, "--timeout-s", "2"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


def printed_in_the_readme() -> str:
    (block,) = re.findall(r"<!-- printed -->\n```\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return block


def verdict_and_states(printed: str) -> list[str]:
    """The class and the state of every modality of the last answer; percentages differ between processors."""
    verdict = re.findall(r"^(\w[\w ]*), [\d.]+%$", printed, re.MULTILINE)[-1]
    return [verdict, *re.findall(r"^  (?:video|image|audio|sensor) .*$", printed, re.MULTILINE)[-4:]]


@pytest.mark.slow
def test_the_demo_runs_and_leaves_pictures_and_no_server(exported):
    done = subprocess.run([sys.executable, "-m", "serving.demo"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert verdict_and_states(printed_in_the_readme()) == verdict_and_states(done.stdout)
    pictures = re.findall(r"^build/demo/\S+\.png$", done.stdout, re.MULTILINE)
    assert len(pictures) == 3
    state = json.loads((ROOT / "build/demo/serving/state.json").read_text())
    assert state["phase"] == "stopped"
