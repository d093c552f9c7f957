"""Small graphs that TensorRT reads, and a stand-in for nothing: the package is the real one."""

from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from export import onnx_files
from export.contract import Contract, Tensor

WIDTH = 8


@pytest.fixture
def contract():
    """rows (batch, 8) -> answers (batch, 8), batches of 1 to 8."""
    rows, answers = (Tensor(name, "FP32", (WIDTH,)) for name in ("rows", "answers"))
    return Contract("small", (rows,), (answers,), 8, "tensorrt_plan")


@pytest.fixture
def two_profiles(contract):
    """The same with a profile for a batch of one and one for all."""
    return replace(contract, profiles=("0", "1"), preferred=(4,))


@pytest.fixture
def write(tmp_path):
    """Nodes from `rows` to `answers` and their constants -> path of the ONNX file."""

    def write(*nodes, **constants):
        value = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH])
            for name in ("rows", "answers")
        ]
        named = [numpy_helper.from_array(array, name) for name, array in constants.items()]
        graph = helper.make_graph(list(nodes), "small", value[:1], value[1:], named)
        path = tmp_path / "small.onnx"
        onnx_files.save(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path
        )
        return path

    return write


@pytest.fixture
def product(write):
    """The file of one product and a softmax."""
    return write(
        helper.make_node("MatMul", ["rows", "weight"], ["hidden"], name="product"),
        helper.make_node("Softmax", ["hidden"], ["answers"], name="softmax"),
        weight=np.eye(WIDTH, dtype=np.float32),
    )
