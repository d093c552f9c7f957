"""One small model repository and one running server, shared by the tests of this folder."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest

import serving
from tests.serving.small_models import doubling_graph, looking_up_graph, write_config


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """doubler: fixed length 3; stretch: any length; lookup: fails for an index past 2."""
    folder = tmp_path_factory.mktemp("repository")
    onnx.save(doubling_graph(), write_config(folder, "doubler") / "1" / "model.onnx")
    onnx.save(doubling_graph(), write_config(folder, "stretch", dims="-1") / "1" / "model.onnx")
    lookup = write_config(folder, "lookup", "index", "TYPE_INT64", "1")
    onnx.save(looking_up_graph(), lookup / "1" / "model.onnx")
    return folder


@pytest.fixture(scope="session")
def server(repository: Path) -> Iterator[serving.Address]:
    with serving.running(["doubler", "stretch", "lookup"], repository) as address:
        yield address


def until(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Wait for something another process does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def eventually() -> Callable[[Callable[[], bool]], None]:
    return until
