"""Two welds as a client would send them, and where the environments of peers are kept."""

from pathlib import Path

import pytest

from benchmarks.stages import payloads_of
from training.weld_folder import find_runs
from training.weld_runs import generate


@pytest.fixture(scope="session")
def weld_payloads(tmp_path_factory):
    """All four modalities of a good weld and of a bad one, files in memory."""
    folder = tmp_path_factory.mktemp("peers") / "runs"
    root = generate(folder, dict.fromkeys((0, 3), 1), seed=11, progress=False)
    return [payloads_of(run) for run in find_runs(root)]


@pytest.fixture(scope="session")
def environments_folder():
    """Kept from run to run: an environment takes longer to make than all tests of its peer."""
    return Path("build/benchmarks/peers").resolve()
