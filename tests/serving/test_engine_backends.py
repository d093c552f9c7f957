"""What both engines behind a real server have in common: batches, neighbours, outputs, refusals."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from tritonclient.grpc import InferenceServerClient

import serving
from tests.serving.small_models import all_at_once, ask, doubling_graph, write_config

pytestmark = pytest.mark.server
ENGINES = ("onnxruntime", "openvino")


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("engines")
    for engine in ENGINES:
        for name, dims in (("doubler", "3"), ("stretch", "-1")):
            place = write_config(folder, f"{engine}_{name}", dims=dims, backend=engine)
            onnx.save(doubling_graph(), place / "1" / "model.onnx")
        parameter("ZEROS_WITHOUT", "x")(write_config(folder, f"{engine}_sparing", backend=engine))
    return folder


@pytest.fixture(scope="module")
def client(models):
    names = [path.name for path in models.iterdir()]
    with serving.running(names, models) as address, InferenceServerClient(address.grpc) as connected:
        yield connected


@pytest.fixture(params=ENGINES)
def engine(request) -> str:
    return request.param


def test_requests_that_arrive_together_run_together_and_each_gets_its_own_answer(client, engine):
    sent = [np.full((1, 3), k, np.float32) for k in range(8)]
    results = all_at_once(client, f"{engine}_doubler", "x", sent)
    for k, result in enumerate(results):
        assert result.as_numpy("answer").tolist() == [[2.0 * k] * 3]
    assert max(result.as_numpy("rows").item() for result in results) == 8


def test_requests_of_several_rows_share_a_run_and_keep_their_rows(client, engine):
    sent = [np.arange(rows * 3, dtype=np.float32).reshape(rows, 3) for rows in (1, 2, 3, 2)]
    results = all_at_once(client, f"{engine}_doubler", "x", sent)
    for array, result in zip(sent, results, strict=True):
        np.testing.assert_array_equal(result.as_numpy("answer"), 2 * array)
    assert {value for result in results for value in result.as_numpy("rows").ravel()} == {8}


def test_requests_of_different_lengths_run_apart(client, engine):
    sent = [np.ones((1, length), np.float32) for length in (2, 5, 2, 5)]
    results = all_at_once(client, f"{engine}_stretch", "x", sent)
    assert [result.as_numpy("answer").shape for result in results] == [(1, 2), (1, 5), (1, 2), (1, 5)]


def test_only_the_outputs_that_were_asked_for_come_back(client, engine):
    result = ask(client, f"{engine}_doubler", "x", np.ones((1, 3), np.float32), ["rows"])
    assert [output.name for output in result.get_response().outputs] == ["rows"]


def test_zero_rows_of_length_are_an_answer_too(client, engine):
    answer = ask(client, f"{engine}_stretch", "x", np.ones((1, 0), np.float32)).as_numpy("answer")
    assert answer.shape == (1, 0)


def test_a_request_without_anything_to_compute_is_answered_without_the_engine(client, engine):
    """Zeros of the outputs' own types; `rows` tells how many the engine was run with."""
    sent = [np.full((1, 3), k % 2, np.float32) for k in range(8)]
    results = all_at_once(client, f"{engine}_sparing", "x", sent)
    assert [result.as_numpy("answer").tolist() for result in results] == [
        [[2.0 * (k % 2)] * 3] for k in range(8)
    ]
    rows = [result.as_numpy("rows").item() for result in results]
    assert rows[::2] == [0] * 4
    assert max(rows) == 4
    assert results[0].as_numpy("rows").dtype == np.int64


def test_a_request_of_which_one_row_has_something_is_computed(client, engine):
    sent = np.array([[0, 0, 0], [0, 5, 0]], np.float32)
    result = ask(client, f"{engine}_sparing", "x", sent)
    np.testing.assert_array_equal(result.as_numpy("answer"), 2 * sent)
    assert result.as_numpy("rows").ravel().tolist() == [2, 2]


def test_a_backend_writes_nothing_beside_the_model(client, models, engine):
    ask(client, f"{engine}_doubler", "x", np.ones((1, 3), np.float32))
    assert [path.name for path in (models / f"{engine}_doubler" / "1").iterdir()] == ["model.onnx"]


Spoil = Callable[[Path], None]


def not_onnx(folder: Path) -> None:
    (folder / "1" / "model.onnx").write_bytes(b"not an engine")


def other_names(folder: Path) -> None:
    graph = doubling_graph()
    graph.graph.output[0].name = graph.graph.node[0].output[0] = "twice"
    onnx.save(graph, folder / "1" / "model.onnx")


def parameter(key: str, value: str) -> Spoil:
    def spoil(folder: Path) -> None:
        onnx.save(doubling_graph(), folder / "1" / "model.onnx")
        config = folder / "config.pbtxt"
        text = f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'
        config.write_text(config.read_text() + text)

    return spoil


OTHER_NAMES = r"outputs: the configuration says answer, rows, the file twice, rows; export it again"
WHOLE = r"expected a whole number >= 0, got 'many'"


def test_zeros_without_a_size_are_refused_when_the_model_loads(tmp_path):
    parameter("ZEROS_WITHOUT", "x")(write_config(tmp_path, "endless", dims="-1", backend="openvino"))
    with (
        pytest.raises(
            RuntimeError, match=r"ZEROS_WITHOUT: expected outputs of fixed sizes, got answer \[-1\]"
        ),
        serving.running(["endless"], tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    ("backend", "spoil", "sentence"),
    [
        (
            "onnxruntime",
            not_onnx,
            r"model\.onnx: ONNX Runtime .* cannot load it \(13 bytes\): .*Protobuf",
        ),
        ("openvino", not_onnx, r"model\.onnx: OpenVINO .* cannot load it \(13 bytes\): "),
        ("onnxruntime", other_names, OTHER_NAMES),
        ("openvino", other_names, OTHER_NAMES),
        (
            "onnxruntime",
            parameter("intra_op_thread_count", "many"),
            rf"parameter intra_op_thread_count: {WHOLE}",
        ),
        ("openvino", parameter("NUM_STREAMS", "many"), rf"parameter NUM_STREAMS: {WHOLE}"),
        ("onnxruntime", parameter("ZEROS_WITHOUT", "mask"), "ZEROS_WITHOUT: expected the name of an input"),
        ("openvino", parameter("HINT_BF16", "maybe"), "HINT_BF16: expected YES or NO, got 'maybe'"),
    ],
)
def test_a_model_that_cannot_work_is_refused_when_it_loads(tmp_path, backend, spoil, sentence):
    spoil(write_config(tmp_path, "spoilt", backend=backend))
    with (
        pytest.raises(RuntimeError, match=rf"spoilt version 1: .*{sentence}"),
        serving.running(["spoilt"], tmp_path),
    ):
        pass
