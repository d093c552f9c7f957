"""Engines of the CPU on one small network, against numpy."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.cpu_engines import compiled, precision_of, runtime, supports

WIDTH = 256
needs_bf16 = pytest.mark.skipif(not supports("bf16"), reason="this processor has no bf16 instructions")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """y = gelu(x @ weight) @ weight, wide enough that no engine keeps it in fp32 for its size."""
    weight = np.random.default_rng(3).normal(size=(WIDTH, WIDTH)).astype(np.float32) / WIDTH**0.5
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["a"]),
        helper.make_node("Gelu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "weight"], ["y"]),
    ]
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", WIDTH]) for name in "xy"]
    graph = helper.make_graph(nodes, "net", sides[:1], sides[1:], [numpy_helper.from_array(weight, "weight")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path = tmp_path_factory.mktemp("network") / "network.onnx"
    onnx.save(model, path)
    return path


def rows(count: int) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(count).normal(size=(count, WIDTH)).astype(np.float32)}


@pytest.mark.parametrize("count", [1, 5])
def test_both_engines_answer_alike_in_fp32(network, count):
    sent = rows(count)
    difference = runtime(network)(sent)["y"] - runtime(network, "openvino")(sent)["y"]
    assert difference.shape == (count, WIDTH)
    assert np.abs(difference).max() < 1e-5


@needs_bf16
def test_bf16_is_neither_fp32_nor_far_from_it(network):
    sent = rows(5)
    exact = runtime(network)(sent)["y"]
    error = np.abs(runtime(network, "openvino", "bf16")(sent)["y"] - exact).max() / np.abs(exact).max()
    assert 1e-4 < error < 2e-2  # 2**-9 is half of the last of 8 bits


@needs_bf16
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_compiled_model_says_what_it_computes_in(network, precision):
    assert precision_of(compiled(network, precision, threads=1)) == precision


def test_answers_are_copies_that_the_next_run_leaves_alone(network):
    run = runtime(network, "openvino")
    first = run(rows(2))["y"]
    kept = first.copy()
    run({"x": np.zeros((2, WIDTH), np.float32)})
    np.testing.assert_array_equal(first, kept)


def test_an_answer_has_the_name_that_the_graph_gives_it(network, tmp_path):
    model = onnx.load(network)
    model.graph.node[-1].output[0] = "a_name_before_it"
    model.graph.node.append(helper.make_node("Identity", ["a_name_before_it"], ["y"]))
    onnx.save(model, tmp_path / "named.onnx")
    assert list(runtime(tmp_path / "named.onnx", "openvino")(rows(2))) == ["y"]


@pytest.mark.parametrize(
    ("engine", "precision", "sentence"),
    [
        ("torch", "fp32", "engine: expected one of onnxruntime, openvino, got torch"),
        ("onnxruntime", "bf16", "got bf16; lower the graph, or choose openvino"),
        ("openvino", "fp8", "precision: expected one of fp32, bf16, got fp8"),
    ],
)
def test_what_an_engine_does_not_have_is_refused(network, engine, precision, sentence):
    with pytest.raises(LookupError, match=sentence):
        runtime(network, engine, precision)
