"""Engine files as peers run them."""

import numpy as np
import onnx
import pytest

from benchmarks.peers.engines import ENGINES, opened
from benchmarks.peers.settings import EngineFile
from tests.serving.small_models import doubling_graph


@pytest.fixture
def doubling(tmp_path):
    """The path of a graph: x (batch, 3) to answer = 2 x."""
    onnx.save(doubling_graph(), tmp_path / "doubling.onnx")
    return str(tmp_path / "doubling.onnx")


@pytest.mark.parametrize("engine", ENGINES)
def test_an_answer_stays_what_it_is_when_the_next_one_comes(doubling, engine):
    run = opened(EngineFile(doubling, engine, "fp32"), threads=1)
    ones = np.ones((2, 3), np.float32)
    first = run({"x": ones})["answer"]
    second = run({"x": 4 * ones})["answer"]
    assert np.array_equal(first, 2 * ones) and np.array_equal(second, 8 * ones)


def test_an_engine_that_peers_do_not_have_is_refused(doubling):
    with pytest.raises(LookupError, match="engine: expected one of onnxruntime, openvino, got tensorrt"):
        opened(EngineFile(doubling, "tensorrt", "fp32"), threads=1)
