"""What an ONNX file says about itself, without running it: its tensors, and NaN among its weights."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from export.contract import Contract, Tensor
from export.wires import compatible

if TYPE_CHECKING:
    import onnx


def faults(file: Path, promised: Contract, beside: Collection[str]) -> Iterator[str]:
    """A sentence for everything that forbids to serve `file` as the model that `promised` describes.

    beside: names of the files that come with it; weights outside of those would not be there
    """
    import onnx  # here: a third of a second that `--help` need not pay
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(file, load_external_data=False)
        missing = sorted({place for place in map(_outside, _tensors(model)) if place} - set(beside))
        if missing:
            yield f"expected its weights {', '.join(missing)} in the manifest too; export the model again"
            return
        # By path: the only way that knows about weights outside the file. Full (3 ms for 4 MB): with shapes
        # inferred, so that a declared output that the graph cannot give is found too.
        onnx.checker.check_model(file, full_check=True)
    except (DecodeError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        cause = " ".join(str(error).split())[:200]
        yield f"expected an ONNX graph, got: {cause}; export the model again"
        return
    initializers = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in initializers]
    yield from _side_faults("input", inputs, promised.inputs)
    yield from _side_faults("output", model.graph.output, promised.outputs)
    yield from _nan_faults(model, file.parent)


def _side_faults(side: str, found: Sequence[onnx.ValueInfoProto], wanted: Sequence[Tensor]) -> Iterator[str]:
    values = {value.name: value for value in found}
    names = [tensor.name for tensor in wanted]
    if sorted(values) != sorted(names):
        got = ", ".join(values) or "none"
        yield f"expected the {side}s {', '.join(names)}, the graph has {got}; export the model again"
        return
    for tensor in wanted:
        fault = _tensor_fault(values[tensor.name], tensor)
        if fault:
            yield f"{side} {tensor.name}: {fault}; export the model for this configuration"


def _tensor_fault(value: onnx.ValueInfoProto, tensor: Tensor) -> str:
    """Why the graph's tensor is not the contract's; the batch comes first and has to be free."""
    import onnx

    kind = value.type.tensor_type
    axes = [axis.dim_value if axis.HasField("dim_value") else -1 for axis in kind.shape.dim]
    dtype = onnx.TensorProto.DataType.Name(kind.elem_type)
    if kind.elem_type != tensor.onnx:
        return f"expected {tensor.dtype}, the graph has {dtype}"
    if not compatible(tuple(axes[1:]), tensor.dims):
        return f"expected {list(tensor.dims)} after the batch, the graph has {axes[1:]}"
    if not axes or axes[0] != -1:
        return f"expected a free batch axis, the graph has {axes[:1]}"
    return ""


def _nan_faults(model: onnx.ModelProto, folder: Path) -> Iterator[str]:
    """NaN only: -inf is what an attention mask is made of."""
    import numpy as np
    from onnx import numpy_helper

    floating = {1, 10, 11, 16}  # FLOAT, FLOAT16, DOUBLE, BFLOAT16 of onnx.TensorProto.DataType
    for tensor in _tensors(model):
        if tensor.data_type not in floating:
            continue
        values = numpy_helper.to_array(tensor, str(folder))
        if _outside(tensor):
            tensor.ClearField("raw_data")  # else all weights of a large model stay in memory
        count = int(np.count_nonzero(np.isnan(values)))
        if count:
            yield (
                f"expected finite weights, {tensor.name or 'a constant'} has {count} NaN among "
                f"{values.size}; train or convert the weights again"
            )


def _outside(tensor: onnx.TensorProto) -> str:
    """The file that holds a tensor's values; empty when they are in the graph."""
    return next((entry.value for entry in tensor.external_data if entry.key == "location"), "")


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every constant of a model: initializers and constants, in branches and functions too."""
    yield from _tensors_of(model.graph.node)
    yield from model.graph.initializer
    for function in model.functions:
        yield from _tensors_of(function.node)


def _tensors_of(nodes: Sequence[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for attribute in (attribute for node in nodes for attribute in node.attribute):
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield from graph.initializer
            yield from _tensors_of(graph.node)
