"""The README's commands exist, and so do those of the page about video quality."""

import itertools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from multimodal.fusions import QUALITY_FUSIONS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
VIDEO_QUALITY = (ROOT / "docs" / "video_quality.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", f"{README}\n{VIDEO_QUALITY}", re.DOTALL)
COMMANDS = sorted({line.split("#")[0].strip() for _, block in BLOCKS for line in block.splitlines()})


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("make ")])
def test_every_make_verb_of_the_readme_is_one(command):
    help_text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    verb = command.partition(" PRESET=")[0]
    assert re.search(rf"^  {verb}\s", help_text, re.MULTILINE)


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("python -m ")])
def test_every_module_command_of_the_readme_is_understood(command):
    _, _, module, *words = shlex.split(command)
    flags = [word for word in words if word.startswith("--")]
    verbs = list(itertools.takewhile(lambda word: not word.startswith("--"), words))
    arguments = [sys.executable, "-m", module, *verbs, "--help"]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(flag in done.stdout for flag in flags)


def test_every_fusion_is_explained_in_the_order_of_the_registry():
    assert re.findall(r"^\| `(\w+)` \| ", VIDEO_QUALITY, re.MULTILINE) == list(QUALITY_FUSIONS)


@pytest.mark.parametrize(
    "page",
    ["README.md", "docs/deployment.md", "docs/video_quality.md", "docs/decisions/0007-video-quality.md"],
)
def test_every_link_leads_to_a_file(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text()):
        assert (ROOT / page).parent.joinpath(target).exists(), target
