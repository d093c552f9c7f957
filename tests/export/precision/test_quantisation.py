"""int8 from real inputs: what becomes of a graph, and what is refused."""

import numpy as np
import onnx
import pytest

from export.example_inputs import draw
from export.parity import onnx_runtime
from export.precision import inside
from export.precision.quantisation import products, quantised

from .graphs import Network, inputs


def kinds(graph):
    return [node.op_type for node in graph.graph.node]


def test_products_of_weights_are_in_int8_and_attention_is_not():
    graph = Network().plain().attention(1.0).graph()
    made = quantised(graph, [inputs(16, 0)])
    weights = [tensor for tensor in made.graph.initializer if tensor.data_type == onnx.TensorProto.INT8]
    assert len(products(graph)) == 4
    assert len([tensor for tensor in weights if len(tensor.dims) == 2]) == 4
    assert kinds(made).count("Softmax") == 1


def test_a_kept_layer_has_no_int8():
    graph = Network().plain().plain().graph()
    made = quantised(graph, [inputs(16, 0)], keep=["layers.0"])
    assert products(graph, keep=["layers.0"]) == ["matmul_2"]
    assert [t.data_type for t in made.graph.initializer if t.name == "c0"] == [onnx.TensorProto.FLOAT]


def test_without_real_inputs_there_is_no_int8():
    with pytest.raises(
        ValueError, match=r"calibration: expected real inputs .* got 0; .*never calibrated on random"
    ):
        quantised(Network().plain().graph(), [])


def test_inputs_of_another_graph_are_refused():
    with pytest.raises(ValueError, match="calibration: expected the inputs x, got pixels"):
        quantised(Network().plain().graph(), [{"pixels": np.zeros((16, 6, 16), np.float32)}])


def test_the_network_comes_out_of_the_branch_and_goes_back(exported, tmp_path):
    made = exported("tiny_image_encoder")
    served = onnx.load(made.folder / "model.onnx")
    alone = inside.network(served, made.contract)
    assert "If" not in kinds(alone)
    again = inside.around(alone, made.contract, served)
    onnx.save(again, tmp_path / "again.onnx")
    drawn = draw(made.contract, 3, seed=1, absent=True)
    before, after = (onnx_runtime(p)(drawn) for p in (made.folder / "model.onnx", tmp_path / "again.onnx"))
    assert all(np.array_equal(before[name], after[name]) for name in before)
    rows = inside.rows_of(drawn, made.contract, served)
    mask = next(t.name for t in made.contract.inputs if t.dtype == "BOOL")
    assert len(rows[mask]) == drawn[mask].sum()
    assert rows[mask].all()
