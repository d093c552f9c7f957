"""The openvino backend behind a real server."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

import serving
from export.cpu_engines import supports
from tests.serving.small_models import all_at_once, ask, graph_of, write_config

pytestmark = pytest.mark.server
BF16 = 'parameters { key: "HINT_BF16" value { string_value: "YES" } }'
WIDTH = 256


def write(repository: Path, name: str, graph: onnx.ModelProto, dims: str = "3", more: str = "") -> Path:
    folder = write_config(repository, name, dims=dims, backend="openvino")
    onnx.save(graph, folder / "1" / "model.onnx")
    config = folder / "config.pbtxt"
    config.write_text(config.read_text() + more)
    return folder


def scaling_graph() -> onnx.ModelProto:
    """answer = x * (1, 2, 3): fails at run time for another length than 3 and 1."""
    table = np.array([1, 2, 3], np.float32)
    return graph_of(helper.make_node("Mul", ["x", "table"], ["answer"]), "x", TensorProto.FLOAT, table)


def thirds_graph() -> onnx.ModelProto:
    """answer = x @ (identity / 3): in bf16 a third has 8 bits."""
    table = np.eye(WIDTH, dtype=np.float32) / 3
    return graph_of(helper.make_node("MatMul", ["x", "table"], ["answer"]), "x", TensorProto.FLOAT, table)


def renamed_graph() -> onnx.ModelProto:
    """The same; OpenVINO knows its answer by two names."""
    model = scaling_graph()
    model.graph.node[0].output[0] = "a_name_before_it"
    model.graph.node.append(helper.make_node("Identity", ["a_name_before_it"], ["answer"]))
    return model


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("openvino")
    write(folder, "scale", scaling_graph(), "-1")
    write(folder, "renamed", renamed_graph(), "-1")
    write(folder, "thirds", thirds_graph(), str(WIDTH))
    write(folder, "coarse_thirds", thirds_graph(), str(WIDTH), BF16)
    return folder


@pytest.fixture(scope="module")
def client(models):
    names = ["scale", "renamed", "thirds", "coarse_thirds"]
    with serving.running(names, models) as address, InferenceServerClient(address.grpc) as connected:
        yield connected


def test_a_request_that_fails_does_not_take_its_neighbours_along(client):
    sent = [np.ones((1, length), np.float32) for length in (3, 5, 3)]
    results = all_at_once(client, "scale", "x", sent)
    assert [results[k].as_numpy("answer").tolist() for k in (0, 2)] == [[[1, 2, 3]]] * 2
    assert isinstance(results[1], InferenceServerException)
    assert "openvino: " in results[1].message()


def test_an_answer_is_found_by_the_configurations_name_for_it(client):
    answer = ask(client, "renamed", "x", np.ones((1, 3), np.float32)).as_numpy("answer")
    assert answer.tolist() == [[1, 2, 3]]


@pytest.mark.skipif(not supports("bf16"), reason="this processor has no bf16 instructions")
def test_a_model_runs_bf16_where_its_configuration_says_so_and_fp32_where_it_does_not(client):
    ones = np.ones((1, WIDTH), np.float32)
    fine = ask(client, "thirds", "x", ones).as_numpy("answer")
    coarse = ask(client, "coarse_thirds", "x", ones).as_numpy("answer")
    np.testing.assert_allclose(fine, 1 / 3, atol=1e-7)
    assert 1e-4 < np.abs(coarse - 1 / 3).max() < 1e-3  # a third is 0x1.56p-2 with the 8 bits of bf16
