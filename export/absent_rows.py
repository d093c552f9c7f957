"""An absent modality costs nothing: compute the rows that are there, put zeros where the others are.

The dense graph stays as it is; operators around it choose its rows:

    valid (batch, rows) -> NonZero -> Gather rows of the inputs -> If any: dense graph -> ScatterND into zeros

The dense graph inside sees one row per execution row: a clip, a waveform, a series, or one photo of the five.
It is a branch because ONNX Runtime refuses to multiply a constant with an empty tensor ("left operand cannot
broadcast"). The branch costs nothing measurable beside the bare graph (6-14 ms per encoder of weld_small);
a batch without a valid row takes 0.02 ms.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.contract import Contract, Tensor
from export.onnx_graphs import check_graph

INNER = (
    "dense/"  # prefix of every name of the dense graph, so that the contract's names are free for the outside
)


def mask_of(contract: Contract) -> Tensor | None:
    """The one BOOL input that says which rows are there; None if there are several (the fusion head)."""
    masks = [tensor for tensor in contract.inputs if tensor.dtype == "BOOL"]
    return masks[0] if len(masks) == 1 else None


def single_row(contract: Contract) -> Contract:
    """The contract of the graph inside: one row per execution row, as many as all requests of a batch have.

    (batch, 5, height, width, 3), valid (batch, 5) becomes (rows, 1, height, width, 3), valid (rows, 1).
    A contract of one row per request is its own.
    """
    mask = _mask(contract)
    rows = mask.dims[0]
    if rows == 1:
        return contract
    for tensor in (*contract.inputs, *contract.outputs):
        if tensor.dims[0] != rows:
            raise ValueError(
                f"{contract.name}: expected {rows} rows in {tensor} as in {mask}, got {tensor.dims[0]}"
            )
    return replace(
        contract,
        inputs=tuple(replace(tensor, dims=(1, *tensor.dims[1:])) for tensor in contract.inputs),
        outputs=tuple(replace(tensor, dims=(1, *tensor.dims[1:])) for tensor in contract.outputs),
        max_batch=contract.max_batch * rows,
    )


def skip_absent(dense: onnx.ModelProto, contract: Contract) -> onnx.ModelProto:
    """Wrap `dense`, the graph of `single_row(contract)`: `contract`'s graph that computes valid rows only.

    Equal to the dense graph up to the rounding that another batch size brings; exact zeros in all other rows.
    """
    inner = single_row(contract)
    check_graph(dense, inner)
    mask = _mask(contract)
    before = _choose_rows(mask)
    for outer, row in zip(contract.inputs, inner.inputs, strict=True):
        before += _gather(outer, row)
    after = []
    for outer, row in zip(contract.outputs, inner.outputs, strict=True):
        after += _put_back(outer, row)
    graph = helper.make_graph(
        [*before, _compute_if_any(dense.graph, inner), *after],
        contract.name,
        [_value(tensor) for tensor in contract.inputs],
        [_value(tensor) for tensor in contract.outputs],
        _constants(contract, inner),
    )
    wrapped = helper.make_model(graph, opset_imports=dense.opset_import, ir_version=dense.ir_version)
    check_graph(wrapped, contract)
    return wrapped


def _mask(contract: Contract) -> Tensor:
    mask = mask_of(contract)
    if mask is None or len(mask.dims) != 1:
        raise ValueError(f"{contract.name}: expected exactly one BOOL[rows] input to choose rows by")
    return mask


def _choose_rows(mask: Tensor) -> list[onnx.NodeProto]:
    """valid (batch, rows) -> present (batch * rows,), their indices (found, 1) and (found,)."""
    return [
        helper.make_node("Reshape", [mask.name, "rows/flat"], ["rows/present"]),
        helper.make_node("NonZero", ["rows/present"], ["rows/found"]),
        helper.make_node("Reshape", ["rows/found", "rows/flat"], ["rows/index"]),
        helper.make_node("Transpose", ["rows/found"], ["rows/index_column"], perm=[1, 0]),
        helper.make_node("Shape", ["rows/present"], ["rows/count"]),
        helper.make_node("Size", ["rows/index"], ["rows/found_count"]),
        helper.make_node("Cast", ["rows/found_count"], ["rows/any"], to=TensorProto.BOOL),
    ]


def _gather(outer: Tensor, row: Tensor) -> list[onnx.NodeProto]:
    """(batch, rows, ...) -> (batch * rows, 1, ...) -> the rows that are there, named as the dense input."""
    nodes = []
    source = outer.name
    if outer.dims != row.dims:
        source = f"rows/{outer.name}"
        nodes.append(helper.make_node("Reshape", [outer.name, f"rows/{outer.name}_shape"], [source]))
    nodes.append(helper.make_node("Gather", [source, "rows/index"], [INNER + outer.name], axis=0))
    return nodes


def _compute_if_any(dense: onnx.GraphProto, inner: Contract) -> onnx.NodeProto:
    """The dense graph on the gathered rows, or empty tensors (0, 1, ...) when there are none."""
    computed = onnx.GraphProto()
    computed.CopyFrom(dense)
    _prefix(computed)
    del computed.input[:]  # a branch has no inputs of its own: it sees the gathered tensors by name
    nothing = onnx.GraphProto(name="nothing")
    for tensor in inner.outputs:
        name, dims = f"nothing/{tensor.name}", (0, *tensor.dims)
        zero = numpy_helper.from_array(np.zeros(1, tensor.numpy))
        # Computed: OpenVINO 2026.4 reads an empty constant as a scalar, and the branches then differ in rank.
        nothing.node.append(
            helper.make_node("Constant", [], [f"{name}_dims"], value=numpy_helper.from_array(np.array(dims)))
        )
        nothing.node.append(helper.make_node("ConstantOfShape", [f"{name}_dims"], [name], value=zero))
        nothing.output.append(helper.make_tensor_value_info(name, tensor.onnx, dims))
    found = [f"rows/{tensor.name}_found" for tensor in inner.outputs]
    return helper.make_node("If", ["rows/any"], found, then_branch=computed, else_branch=nothing)


def _put_back(outer: Tensor, row: Tensor) -> list[onnx.NodeProto]:
    """(found, ...) -> zeros (batch * rows, ...) with the found rows in place -> (batch, rows, ...)."""
    zeros, full = f"rows/{outer.name}_zeros", f"rows/{outer.name}_full"
    put = outer.name if outer.dims == row.dims else f"rows/{outer.name}_put"
    nodes = [
        helper.make_node("Concat", ["rows/count", f"rows/{outer.name}_row"], [full], axis=0),
        helper.make_node(
            "ConstantOfShape", [full], [zeros], value=numpy_helper.from_array(np.zeros(1, outer.numpy))
        ),
        helper.make_node("ScatterND", [zeros, "rows/index_column", f"rows/{outer.name}_found"], [put]),
    ]
    if put != outer.name:
        nodes.append(helper.make_node("Reshape", [put, f"rows/{outer.name}_shape"], [outer.name]))
    return nodes


def _constants(contract: Contract, inner: Contract) -> list[TensorProto]:
    shapes: dict[str, tuple[int, ...]] = {"rows/flat": (-1,)}
    for outer, row in zip(contract.inputs, inner.inputs, strict=True):
        if outer.dims != row.dims:
            shapes[f"rows/{outer.name}_shape"] = (-1, *row.dims)
    for outer, row in zip(contract.outputs, inner.outputs, strict=True):
        shapes[f"rows/{outer.name}_row"] = row.dims
        if outer.dims != row.dims:
            shapes[f"rows/{outer.name}_shape"] = (-1, *outer.dims)
    return [numpy_helper.from_array(np.array(shape, np.int64), name) for name, shape in shapes.items()]


def _value(tensor: Tensor) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, tensor.onnx, ["batch", *tensor.dims])


def _prefix(graph: onnx.GraphProto) -> None:
    """Put INNER before every name; drop the shape notes of the inside: its batch axis is another one now."""
    del graph.value_info[:]
    for value in (*graph.initializer, *graph.input, *graph.output):
        value.name = INNER + value.name
    for node in graph.node:
        node.name = INNER + node.name
        node.input[:] = [INNER + name if name else "" for name in node.input]
        node.output[:] = [INNER + name if name else "" for name in node.output]
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise ValueError(
                f"{node.name}: expected no subgraphs, got {node.op_type}; export the module without branches"
            )
