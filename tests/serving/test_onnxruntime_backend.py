"""The onnxruntime backend behind a real server."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

import serving
from tests.serving.small_models import all_at_once, ask, doubling_graph, write_config

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def client(server):
    with InferenceServerClient(server.grpc) as connected:
        yield connected


def test_requests_that_arrive_together_run_together_and_each_gets_its_own_answer(client):
    sent = [np.full((1, 3), k, np.float32) for k in range(8)]
    results = all_at_once(client, "doubler", "x", sent)
    for k, result in enumerate(results):
        assert result.as_numpy("answer").tolist() == [[2.0 * k] * 3]
    assert max(result.as_numpy("rows").item() for result in results) == 8


def test_requests_of_several_rows_share_a_run_and_keep_their_rows(client):
    sent = [np.arange(rows * 3, dtype=np.float32).reshape(rows, 3) for rows in (1, 2, 3, 2)]
    results = all_at_once(client, "doubler", "x", sent)
    for array, result in zip(sent, results, strict=True):
        np.testing.assert_array_equal(result.as_numpy("answer"), 2 * array)
    assert {value for result in results for value in result.as_numpy("rows").ravel()} == {8}


def test_requests_of_different_lengths_run_apart(client):
    sent = [np.ones((1, length), np.float32) for length in (2, 5, 2, 5)]
    results = all_at_once(client, "stretch", "x", sent)
    assert [result.as_numpy("answer").shape for result in results] == [(1, 2), (1, 5), (1, 2), (1, 5)]


def test_a_request_that_fails_does_not_take_its_neighbours_along(client):
    results = all_at_once(client, "lookup", "index", [np.array([[k]]) for k in (0, 1, 99, 2)])
    assert [results[k].as_numpy("answer").item() for k in (0, 1, 3)] == [10, 20, 30]
    assert isinstance(results[2], InferenceServerException)
    assert "onnxruntime: " in results[2].message()
    assert "out of data bounds" in results[2].message()


def test_only_the_outputs_that_were_asked_for_come_back(client):
    result = ask(client, "doubler", "x", np.ones((1, 3), np.float32), ["rows"])
    assert [output.name for output in result.get_response().outputs] == ["rows"]


def test_zero_rows_of_length_are_an_answer_too(client):
    assert ask(client, "stretch", "x", np.ones((1, 0), np.float32)).as_numpy("answer").shape == (1, 0)


def test_the_backend_writes_nothing_beside_the_model(client, repository: Path):
    ask(client, "doubler", "x", np.ones((1, 3), np.float32))
    assert [path.name for path in (repository / "doubler" / "1").iterdir()] == ["model.onnx"]


def not_onnx(folder: Path) -> None:
    (folder / "1" / "model.onnx").write_bytes(b"not an engine")


def other_names(folder: Path) -> None:
    graph = doubling_graph()
    graph.graph.output[0].name = graph.graph.node[0].output[0] = "twice"
    onnx.save(graph, folder / "1" / "model.onnx")


def many_threads(folder: Path) -> None:
    onnx.save(doubling_graph(), folder / "1" / "model.onnx")
    config = folder / "config.pbtxt"
    config.write_text(
        config.read_text() + 'parameters { key: "intra_op_thread_count" value { string_value: "many" } }'
    )


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (not_onnx, r"model\.onnx: ONNX Runtime .* cannot load it \(13 bytes\): .*Protobuf parsing failed"),
        (other_names, r"outputs: the configuration says answer, rows, the file twice, rows; export it again"),
        (many_threads, r"parameter intra_op_thread_count: expected a whole number >= 0, got 'many'"),
    ],
)
def test_a_model_that_cannot_work_is_refused_when_it_loads(tmp_path, spoil, sentence):
    spoil(write_config(tmp_path, "spoilt"))
    with (
        pytest.raises(RuntimeError, match=rf"spoilt version 1: .*{sentence}"),
        serving.running(["spoilt"], tmp_path),
    ):
        pass
