"""The README's commands exist and its Python runs."""

import itertools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
COMMANDS = sorted({line.split("#")[0].strip() for _, block in BLOCKS for line in block.splitlines()})


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("make ")])
def test_every_make_verb_of_the_readme_is_one(command):
    help_text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^  {command}\s", help_text, re.MULTILINE)


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("python -m ")])
def test_every_module_command_of_the_readme_is_understood(command):
    _, _, module, *words = shlex.split(command)
    flags = [word for word in words if word.startswith("--")]
    verbs = list(itertools.takewhile(lambda word: not word.startswith("--"), words))
    arguments = [sys.executable, "-m", module, *verbs, "--help"]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(flag in done.stdout for flag in flags)
