"""What a newcomer types works as the README says."""

import json
import os
import re
import shlex
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import serving
from tests.serving.preprocess.files import video
from training.easy_vqa import load_split

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CROSSFUSE = Path(sys.executable).with_name("crossfuse")
QUESTION = "$ crossfuse infer "  # as the demo shows it


@pytest.fixture(scope="module")
def quality_server(exported_quality):
    with serving.running(["video_quality"], exported_quality) as address:
        yield address


@pytest.fixture(scope="module")
def words_server(exported_pairs, exported_questions):
    with serving.running(["vision_language", "visual_question_answering"], exported_questions) as address:
        yield address


def python_of_the_readme(pipeline: str) -> str:
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if pipeline in code]
    return code


def shell_command_of_the_readme(pipeline: str) -> list[str]:
    (line,) = re.findall(rf"^crossfuse infer {pipeline} .*$", README, re.MULTILINE)
    return [str(CROSSFUSE), *shlex.split(line, comments=True)[1:]]


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
    script = python_of_the_readme("weld_inspection").replace("127.0.0.1:8001", server.grpc)
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Status.ABSENT" in done.stdout


def test_the_shell_command_of_the_readme_answers_and_draws(server, folder):
    command = [*shell_command_of_the_readme("weld_inspection"), "--url", server.grpc, "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["usable"]) == {"video", "image", "audio", "sensor"}
    assert (folder / "out.png").read_bytes().startswith(b"\x89PNG")


def test_what_the_readme_says_about_quality_answers_and_draws(quality_server, tmp_path):
    (tmp_path / "clip.mp4").write_bytes(video())
    script = python_of_the_readme("video_quality").replace("127.0.0.1:8001", quality_server.grpc)
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    command = [*shell_command_of_the_readme("video_quality"), "--url", quality_server.grpc, "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["frames"]) == 8
    assert (tmp_path / "clip.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("pipeline", "picture", "known"),
    [
        ("vision_language", "pair.png", "similarity"),
        ("visual_question_answering", "told.png", "captions"),
    ],
)
def test_what_the_readme_says_about_images_and_words_answers_and_draws(
    words_server, tmp_path, pipeline, picture, known
):
    for name, source in zip(("shape", "a", "b"), load_split("test").pictures, strict=False):
        (tmp_path / f"{name}.png").write_bytes(source.read_bytes())
    script = python_of_the_readme(f'"{pipeline}"').replace("127.0.0.1:8001", words_server.grpc)
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    command = [*shell_command_of_the_readme(pipeline), "--url", words_server.grpc, "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert known in json.loads(done.stdout)
    assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")


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
    (block,) = re.findall(r"<!-- printed -->\n```\n(.*?)```", README, re.DOTALL)
    return block


def verdict_and_states(printed: str) -> list[str]:
    """The class and the state of every modality of the last answer; percentages differ between processors."""
    verdict = re.findall(r"^(\w[\w ]*), [\d.]+%$", printed, re.MULTILINE)[-1]
    return [verdict, *re.findall(r"^  (?:video|image|audio|sensor) .*$", printed, re.MULTILINE)[-4:]]


def quality(printed: str) -> float:
    """The score in `good, 71.2 of 100`."""
    (score,) = re.findall(r"^\w+, (-?[\d.]+) of 100$", printed, re.MULTILINE)
    return float(score)


def answers_about(pipeline: str, printed: str) -> list[str]:
    """What the demo printed after each question to a pipeline."""
    told = [text.partition("\n$ ")[0] for text in printed.split(QUESTION)[1:]]
    return [text for text in told if text.startswith(pipeline)]


@pytest.mark.slow
def test_the_demo_runs_and_leaves_pictures_and_no_server(
    exported, exported_quality, exported_pairs, exported_questions
):
    done = subprocess.run([sys.executable, "-m", "serving.demo"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    welds = answers_about("weld_inspection", done.stdout)
    assert verdict_and_states(printed_in_the_readme()) == verdict_and_states(welds[-1])
    decent, ruined = map(quality, answers_about("video_quality", done.stdout))
    assert decent > ruined + 20
    for pipeline in ("vision_language", "visual_question_answering"):
        assert len(answers_about(pipeline, done.stdout)) == 1
    pictures = re.findall(r"^build/demo/\S+\.png$", done.stdout, re.MULTILINE)
    assert len(pictures) == 7
    state = json.loads((ROOT / "build/demo/serving/state.json").read_text())
    assert state["phase"] == "stopped"
