"""The onnxruntime backend behind a real server."""

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from tests.serving.small_models import all_at_once

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def client(server):
    with InferenceServerClient(server.grpc) as connected:
        yield connected


def test_a_request_that_fails_does_not_take_its_neighbours_along(client):
    results = all_at_once(client, "lookup", "index", [np.array([[k]]) for k in (0, 1, 99, 2)])
    assert [results[k].as_numpy("answer").item() for k in (0, 1, 3)] == [10, 20, 30]
    assert isinstance(results[2], InferenceServerException)
    assert "onnxruntime: " in results[2].message()
    assert "out of data bounds" in results[2].message()
