"""The Dockerfile, without Docker: linted, and everything that it names exists and fits together."""

import fnmatch
import json
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text()
# Instructions with their continuation lines joined, comments gone.
INSTRUCTIONS = [
    re.sub(r"\s+", " ", line)
    for line in re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", TEXT, flags=re.MULTILINE)).splitlines()
    if line.strip()
]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
CONSTRAINTS = dict(
    line.lower().replace("_", "-").split("==")
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if "==" in line
)
# Triton's tag -> the TensorRT inside it: server RELEASE.md and docs/introduction/compatibility.md
TENSORRT_OF_TAG = {"26.07-py3": "11.1.0.106"}


def stages() -> dict[str, list[str]]:
    """Name of a stage -> its instructions."""
    found: dict[str, list[str]] = {}
    for line in INSTRUCTIONS:
        if line.startswith("FROM "):
            found[line.split()[-1]] = []
        if found:
            list(found.values())[-1].append(line)
    return found


def words(kind: str) -> list[list[str]]:
    return [line.split()[1:] for line in INSTRUCTIONS if line.startswith(f"{kind} ")]


def test_it_lints_clean():
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_three_stages_stand_on_one_pinned_tag():
    (tag,) = (line.partition("=")[2] for line in INSTRUCTIONS if line.startswith("ARG TRITON_TAG="))
    bases = {line.split()[-1]: line.split()[1] for line in INSTRUCTIONS if line.startswith("FROM ")}
    assert bases == {
        "server": "nvcr.io/nvidia/tritonserver:${TRITON_TAG}",
        "export": "server",
        "client": "nvcr.io/nvidia/tritonserver:${TRITON_TAG}-sdk",
    }
    year, month = map(int, re.fullmatch(r"(\d\d)\.(\d\d)-py3", tag).groups())
    assert (year, month) >= (26, 5)
    assert CONSTRAINTS["tensorrt-cu13-bindings"] == TENSORRT_OF_TAG[tag]


@pytest.mark.parametrize("stage", stages())
def test_no_stage_runs_as_root(stage):
    users = [line.split()[1] for line in stages()[stage] if line.startswith("USER ")]
    assert users[-1] == "1000:1000"
    last = max(i for i, line in enumerate(stages()[stage]) if line.startswith("USER 1000"))
    assert not any(line.startswith(("RUN", "COPY", "ADD")) for line in stages()[stage][last:])


def copied() -> list[str]:
    """Paths of the checkout that are copied or mounted."""
    from_checkout = [[one for one in parts if not one.startswith("--")][:-1] for parts in words("COPY")]
    mounted = re.findall(r"--mount=type=bind,source=([\w./-]+)", " ".join(INSTRUCTIONS))
    return sorted({*(path for paths in from_checkout for path in paths), *mounted})


@pytest.mark.parametrize("path", copied())
def test_what_is_copied_is_in_git_and_reaches_the_builder(path):
    listed = subprocess.run(["git", "ls-files", path], cwd=ROOT, capture_output=True, text=True, check=True)
    assert listed.stdout.strip() or (ROOT / path).exists()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored.index("*") < ignored.index(f"!{path}")
    later = [line for line in ignored[ignored.index(f"!{path}") + 1 :] if line and line[0] not in "!#"]
    assert not any(fnmatch.fnmatch(path, pattern) for pattern in later)


def test_no_engine_and_no_record_of_releases_gets_into_an_image():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for name in ("x.onnx", "x.plan", "manifest.json"):
        assert f"model_repository/**/*.{name.rpartition('.')[2]}" in ignored
    assert "model_repository/**/warmup" in ignored


def test_every_package_that_it_installs_is_pinned():
    runs = " ".join(" ".join(parts) for parts in words("RUN"))
    named = {extra for group in re.findall(r"/tmp/app\[([\w,]+)\]", runs) for extra in group.split(",")}
    assert named == {"container", "multimodal", "training", "quality", "export"}
    for requirement in (one for extra in named for one in EXTRAS[extra]):
        name, version = re.fullmatch(r"([\w-]+)(?:\[\w+\])?==([\w.]+)", requirement).groups()
        assert CONSTRAINTS.get(name.lower().replace("_", "-"), version) == version
    bare = set(re.findall(r"\s([a-z][\w-]+==[\w.]+)", runs))
    makefile = (ROOT / "Makefile").read_text()
    assert bare == set(re.search(r"^SHIPPED_PARTS := (.*)$", makefile, re.MULTILINE)[1].split())
    assert runs.count("/python install ") == runs.count("--constraint") + runs.count("--no-deps")


def test_the_packages_of_the_server_are_those_that_serve_here():
    """Versions of both environments agree, but for what the image has itself."""
    here = {one.split("==")[0]: one for one in EXTRAS["serving"]}
    image = {one.split("==")[0]: one for one in EXTRAS["container"]}
    assert {here[name] for name in here.keys() & image.keys()} == {
        image[name] for name in here.keys() & image.keys()
    }
    assert here.keys() - image.keys() == {"nvidia-pytriton", "nvidia-dali-cuda120"}
    assert image["nvidia-dali-cuda130"].endswith(here["nvidia-dali-cuda120"].rpartition("==")[2])


@pytest.mark.parametrize("kind", ["CMD", "ENTRYPOINT"])
def test_the_modules_that_it_runs_are_understood(kind):
    for line in INSTRUCTIONS:
        match = re.search(rf"(?:^|HEALTHCHECK.*){kind} (\[.*\])", line)
        parts = json.loads(match[1]) if match else []
        if "-m" in parts:
            module, *verb = parts[parts.index("-m") + 1 :]
            done = subprocess.run(
                [sys.executable, "-m", module, *[v for v in verb if v[0] != "-"], "--help"],
                cwd=ROOT,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stderr


def test_what_the_server_runs_needs_nothing_of_pytorch_or_training():
    """Neither is installed in its stage."""
    code = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers", "training", "scipy", "soundfile", "pytriton"):
            raise ImportError(f"{name} is not in the image of the server")
sys.meta_path.insert(0, Refuse())
import serving.__main__, serving.supervisor, serving.first_start, serving.warm_up, serving.health
import serving.container_verbs, export.tensorrt
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_client_installs_into_a_fresh_environment_as_its_stage_does(tmp_path):
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    install += ["--disable-pip-version-check", "--constraint", "constraints.txt", "./client"]
    done = subprocess.run(install, cwd=ROOT, capture_output=True, text=True)
    if done.returncode and re.search(r"No matching distribution|Connection|Retrying", done.stderr):
        pytest.skip(f"no package index at hand: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    code = "import crossfuse; print(crossfuse.__version__)"
    shown = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert re.fullmatch(r"\d+\.\d+\S*\n", shown.stdout), shown.stderr
    asked = subprocess.run(
        [tmp_path / "venv/bin/crossfuse", "status", "--url", "127.0.0.1:1"], capture_output=True, text=True
    )
    assert asked.returncode == 1
