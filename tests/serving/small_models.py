"""Models of a few nodes whose answers can be checked by eye, and which show what was batched."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

CONFIG = """\
name: "{name}"
backend: "{backend}"
max_batch_size: 8
input [ {{ name: "{input}"  data_type: {dtype}  dims: [ {dims} ] }} ]
output [
  {{ name: "answer"  data_type: {dtype}  dims: [ {dims} ] }},
  {{ name: "rows"  data_type: TYPE_INT64  dims: [ 1 ] }}
]
instance_group [ {{ count: 1  kind: KIND_CPU }} ]
dynamic_batching {{ max_queue_delay_microseconds: 300000 }}
"""


def graph_of(operation: onnx.NodeProto, input_name: str, dtype: int, table: np.ndarray) -> onnx.ModelProto:
    """answer = operation(input, table); rows = how many rows the session was run with, told to every row."""
    nodes = [
        operation,
        helper.make_node("Shape", [input_name], ["batch"], start=0, end=1),
        helper.make_node("Concat", ["batch", "one"], ["shape"], axis=0),
        helper.make_node("Expand", ["batch", "shape"], ["rows"]),
    ]
    constants = [
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(np.array([1], np.int64), "one"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(input_name, dtype, ["n", "length"])],
        [
            helper.make_tensor_value_info("answer", dtype, ["n", "length"]),
            helper.make_tensor_value_info("rows", TensorProto.INT64, ["n", 1]),
        ],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def multiplying_graph(factor: float) -> onnx.ModelProto:
    """answer = factor x."""
    multiply = helper.make_node("Mul", ["x", "table"], ["answer"])
    return graph_of(multiply, "x", TensorProto.FLOAT, np.array(factor, np.float32))


def doubling_graph() -> onnx.ModelProto:
    return multiplying_graph(2)


def without_rows(model: onnx.ModelProto) -> onnx.ModelProto:
    """Such a model that only answers."""
    del model.graph.node[1:], model.graph.initializer[1:], model.graph.output[1:]
    return model


def looking_up_graph() -> onnx.ModelProto:
    """answer = (10, 20, 30)[index]: fails at run time for an index past 2."""
    table = np.array([10, 20, 30], np.int64)
    return graph_of(
        helper.make_node("Gather", ["table", "index"], ["answer"]), "index", TensorProto.INT64, table
    )


def write_config(
    repository: Path,
    name: str,
    input_name: str = "x",
    dtype: str = "TYPE_FP32",
    dims: str = "3",
    backend: str = "onnxruntime",
) -> Path:
    """A model folder with a configuration and an empty version 1."""
    folder = repository / name
    (folder / "1").mkdir(parents=True)
    text = CONFIG.format(name=name, input=input_name, dtype=dtype, dims=dims, backend=backend)
    if backend == "openvino":
        text += 'default_model_filename: "model.onnx"\n'  # Triton itself says model.xml
    (folder / "config.pbtxt").write_text(text)
    return folder


def ask(
    client: InferenceServerClient,
    model: str,
    name: str,
    array: np.ndarray,
    outputs: Sequence[str] | None = None,
):
    """The answer of one request with one tensor."""
    tensor = InferInput(name, array.shape, {"float32": "FP32", "int64": "INT64"}[array.dtype.name])
    tensor.set_data_from_numpy(array)
    wanted = None if outputs is None else [InferRequestedOutput(output) for output in outputs]
    return client.infer(model, [tensor], outputs=wanted)


def all_at_once(client: InferenceServerClient, model: str, name: str, arrays: Sequence[np.ndarray]) -> list:
    """Answers, or errors, of requests that leave together, in order."""

    def one(array: np.ndarray):
        try:
            return ask(client, model, name, array)
        except InferenceServerException as error:
            return error

    with ThreadPoolExecutor(len(arrays)) as pool:
        return list(pool.map(one, arrays))
