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
from tests.serving.small_models import all_at_once, ask, doubling_graph, graph_of, write_config

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


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("openvino")
    write(folder, "doubler", doubling_graph())
    write(folder, "stretch", doubling_graph(), "-1")
    write(folder, "scale", scaling_graph(), "-1")
    write(folder, "thirds", thirds_graph(), str(WIDTH))
    write(folder, "coarse_thirds", thirds_graph(), str(WIDTH), BF16)
    return folder


@pytest.fixture(scope="module")
def client(models):
    names = ["doubler", "stretch", "scale", "thirds", "coarse_thirds"]
    with serving.running(names, models) as address, InferenceServerClient(address.grpc) as connected:
        yield connected


def test_requests_that_arrive_together_run_together_and_each_gets_its_own_answer(client):
    sent = [np.full((1, 3), k, np.float32) for k in range(8)]
    results = all_at_once(client, "doubler", "x", sent)
    for k, result in enumerate(results):
        assert result.as_numpy("answer").tolist() == [[2.0 * k] * 3]
    assert max(result.as_numpy("rows").item() for result in results) == 8


def test_requests_of_several_rows_share_a_run_and_keep_their_rows(client):
    sent = [np.arange(rows * 3, dtype=np.float32).reshape(rows, 3) for rows in (1, 2, 3, 2)]
    for array, result in zip(sent, all_at_once(client, "doubler", "x", sent), strict=True):
        np.testing.assert_array_equal(result.as_numpy("answer"), 2 * array)


def test_a_request_that_fails_does_not_take_its_neighbours_along(client):
    sent = [np.ones((1, length), np.float32) for length in (3, 5, 3)]
    results = all_at_once(client, "scale", "x", sent)
    assert [results[k].as_numpy("answer").tolist() for k in (0, 2)] == [[[1, 2, 3]]] * 2
    assert isinstance(results[1], InferenceServerException)
    assert "openvino: " in results[1].message()


def test_only_the_outputs_that_were_asked_for_come_back(client):
    result = ask(client, "doubler", "x", np.ones((1, 3), np.float32), ["rows"])
    assert [output.name for output in result.get_response().outputs] == ["rows"]


def test_zero_rows_of_length_are_an_answer_too(client):
    assert ask(client, "stretch", "x", np.ones((1, 0), np.float32)).as_numpy("answer").shape == (1, 0)


@pytest.mark.skipif(not supports("bf16"), reason="this processor has no bf16 instructions")
def test_a_model_runs_bf16_where_its_configuration_says_so_and_fp32_where_it_does_not(client):
    ones = np.ones((1, WIDTH), np.float32)
    fine = ask(client, "thirds", "x", ones).as_numpy("answer")
    coarse = ask(client, "coarse_thirds", "x", ones).as_numpy("answer")
    np.testing.assert_allclose(fine, 1 / 3, atol=1e-7)
    assert 1e-4 < np.abs(coarse - 1 / 3).max() < 1e-3  # a third is 0x1.56p-2 with the 8 bits of bf16


def test_the_backend_writes_nothing_beside_the_model(client, models):
    ask(client, "doubler", "x", np.ones((1, 3), np.float32))
    assert [path.name for path in (models / "doubler" / "1").iterdir()] == ["model.onnx"]


def not_onnx(folder: Path) -> None:
    (folder / "1" / "model.onnx").write_bytes(b"not an engine")


def other_names(folder: Path) -> None:
    graph = doubling_graph()
    graph.graph.output[0].name = graph.graph.node[0].output[0] = "twice"
    onnx.save(graph, folder / "1" / "model.onnx")


def parameter(key: str, value: str):
    def spoil(folder: Path) -> None:
        onnx.save(doubling_graph(), folder / "1" / "model.onnx")
        config = folder / "config.pbtxt"
        text = f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'
        config.write_text(config.read_text() + text)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (not_onnx, r"model\.onnx: OpenVINO .* cannot load it \(13 bytes\): "),
        (other_names, r"outputs: the configuration says answer, rows, the file twice, rows; export it again"),
        (
            parameter("NUM_STREAMS", "many"),
            r"parameter NUM_STREAMS: expected a whole number >= 0, got 'many'",
        ),
        (parameter("HINT_BF16", "maybe"), "HINT_BF16: expected YES or NO, got 'maybe'"),
    ],
    ids=["not ONNX", "other names", "streams", "hint"],
)
def test_a_model_that_cannot_work_is_refused_when_it_loads(tmp_path, spoil, sentence):
    spoil(write_config(tmp_path, "spoilt", backend="openvino"))
    with (
        pytest.raises(RuntimeError, match=rf"spoilt version 1: .*{sentence}"),
        serving.running(["spoilt"], tmp_path),
    ):
        pass
