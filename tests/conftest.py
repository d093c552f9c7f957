"""What every test shares: quiet, deterministic, offline; and one export of weld_small to serve."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# A suite that a script started in its background is deaf to Ctrl-C, and so would be whatever it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]


def _export(preset: str) -> Path:
    """The model repository of this checkout with a preset in it; seconds when it is there already."""
    command = [sys.executable, "-m", "export", preset]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def exported_welds() -> Path:
    """The model repository with weld_small in it."""
    return _export("weld_small")


@pytest.fixture(scope="session")
def exported(exported_welds) -> Path:
    """The same, by the name that folders of tests may give to something smaller."""
    return exported_welds


@pytest.fixture(scope="session")
def exported_quality() -> Path:
    """The same with video_quality_small in it."""
    return _export("video_quality_small")


@pytest.fixture(scope="session")
def exported_pairs() -> Path:
    """The same with vision_language_small in it."""
    return _export("vision_language_small")


@pytest.fixture(scope="session")
def exported_questions() -> Path:
    """The same with visual_question_answering_small in it."""
    return _export("visual_question_answering_small")
