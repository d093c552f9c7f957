"""int8 that TensorRT takes: no zero point, so that its parser, which is the judge here, builds the graph."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from export.contract import parse
from export.onnx_graphs import export_dense
from export.parity import onnx_runtime
from export.precision.quantisation import quantised
from export.tensorrt import ParseError, build

CONFIG = """
name: "two_layers" max_batch_size: 8 platform: "tensorrt_plan"
input [ { name: "features" data_type: TYPE_FP32 dims: [ 5, 16 ] } ]
output [ { name: "tokens" data_type: TYPE_FP32 dims: [ 5, 8 ] } ]
"""


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    torch.manual_seed(1)
    module = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 8)).eval()
    return export_dense(module, parse(CONFIG), tmp_path_factory.mktemp("graph") / "dense.onnx")


@pytest.fixture(scope="module")
def inputs():
    return [
        {"features": np.random.default_rng(seed).normal(0.5, 1, (8, 5, 16)).astype(np.float32)}
        for seed in (1, 2)
    ]


def zero_points(graph):
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    quantisers = [node for node in graph.graph.node if node.op_type == "QuantizeLinear"]
    return [held[node.input[2]] for node in quantisers]


def test_symmetric_int8_has_no_zero_point_and_builds(graph, inputs, tmp_path):
    made = quantised(graph, inputs, symmetric=True)
    assert len(zero_points(made)) > 1
    assert all(point.dtype == np.int8 and not point.any() for point in zero_points(made))
    onnx.save(made, tmp_path / "int8.onnx")
    built = build(tmp_path / "int8.onnx", parse(CONFIG), precision="int8", target="rtx")
    assert built.summary["network"]["types"]["INT8"] >= 4


def test_it_is_as_near_to_fp32_as_eight_bits_are(graph, inputs, tmp_path):
    onnx.save(graph, tmp_path / "fp32.onnx")
    onnx.save(quantised(graph, inputs, symmetric=True), tmp_path / "int8.onnx")
    wanted, got = (onnx_runtime(tmp_path / f"{name}.onnx")(inputs[0])["tokens"] for name in ("fp32", "int8"))
    assert 1e-4 < np.linalg.norm(wanted - got) / np.linalg.norm(wanted) < 0.03


def test_int8_of_a_processor_is_refused_by_its_zero_point(graph, inputs, tmp_path):
    onnx.save(quantised(graph, inputs), tmp_path / "int8.onnx")
    with pytest.raises(ParseError, match="Non-zero zero point is not supported"):
        build(tmp_path / "int8.onnx", parse(CONFIG), precision="int8", target="rtx")
