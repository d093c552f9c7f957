"""The sets that are released here, what they answer, and a golden set to check them with."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import serving
from tests.end_to_end.releases import sets
from tests.end_to_end.releases.expected import first_items, write_expected
from tests.end_to_end.releases.killing import Operator
from tests.end_to_end.releases.lab import clone, known_answers
from tests.end_to_end.releases.traffic import Known

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def place(exported, tmp_path_factory) -> Callable[[], Path]:
    """Makes a model repository of its own, with version 1 of every model and no releases."""

    def make() -> Path:
        return clone(exported, tmp_path_factory.mktemp("repository") / "models")

    return make


@pytest.fixture(scope="session")
def candidate(exported, tmp_path_factory) -> Path:
    """A good set: three models from slightly other weights."""
    return sets.good(exported, tmp_path_factory.mktemp("candidate") / "set")


@pytest.fixture(scope="session")
def known(place, candidate, welds) -> Known:
    return known_answers(place(), candidate, welds[5])


@pytest.fixture(scope="session")
def golden(exported, candidate, tmp_path_factory) -> Path:
    """One weld of each class; PyTorch's answers for the shipped weights, and those of the good set."""
    folder = tmp_path_factory.mktemp("golden")
    command = [sys.executable, "-m", "export", "golden", sets.PIPELINE, "--per-class", "1"]
    done = subprocess.run([*command, "--out", str(folder)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    write_expected(candidate, folder)
    return folder


@pytest.fixture(scope="session")
def few(golden, tmp_path_factory) -> Path:
    """Three items of the golden set, for tests in which a check only has to take place."""
    return first_items(golden, tmp_path_factory.mktemp("few"), 3)


@pytest.fixture(scope="module")
def repository(place) -> Path:
    """The model repository of this module's server."""
    return place()


@pytest.fixture(scope="module")
def served(repository) -> Iterator[serving.Address]:
    """A supervised server on `repository`."""
    with serving.running([sets.PIPELINE], repository) as address:
        yield address


@pytest.fixture(scope="module")
def operator(repository, served, few) -> Iterator[Operator]:
    """Runs release steps on `repository`, each in a process that may be killed."""
    with Operator(repository, served.grpc, few) as somebody:
        yield somebody
