"""The tests run against the client of this checkout, whether or not one is installed."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CLIENT = Path(__file__).parents[2] / "client"
sys.path.insert(0, str(CLIENT))

from tests.client.stand_ins import Peer  # noqa: E402 - after the path it needs


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A gRPC server on a free loopback port: Triton's protocol, a weld pipeline's answers."""
    served = Peer()
    served.start()
    yield served
    served.stop()
