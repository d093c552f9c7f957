"""One export, one running server and a few weld runs for the tests of the whole way."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from crossfuse import Client

import serving
from tests.end_to_end.weld_files import WeldFiles, read_welds
from training.weld_runs import generate

CLASSES = (0, 1, 3, 5, 9, 10)


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.server)


@pytest.fixture(scope="session")
def welds(tmp_path_factory) -> list[WeldFiles]:
    """One weld of each of six classes, as files in memory."""
    root = generate(
        tmp_path_factory.mktemp("welds") / "runs", dict.fromkeys(CLASSES, 1), seed=11, progress=False
    )
    return read_welds(root)


@pytest.fixture(scope="session")
def server(exported) -> Iterator[serving.Address]:
    with serving.running(["weld_inspection"], exported) as address:
        yield address


@pytest.fixture(scope="session")
def client(server) -> Iterator[Client]:
    with Client(server.grpc) as open_client:
        yield open_client
