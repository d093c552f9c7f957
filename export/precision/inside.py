"""The network inside an engine's graph: out of the branch that skips absent rows, and back into it.

Precision is a matter of the network; the operators around it choose rows. See `export.absent_rows`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from export.absent_rows import INNER, mask_of, single_row, skip_absent
from export.contract import Contract
from export.onnx_graphs import check_graph
from export.parity import Arrays


def network(served: onnx.ModelProto, contract: Contract) -> onnx.ModelProto:
    """The graph that computes, alone: of `single_row(contract)` where rows are chosen, else a copy.

    errors: ValueError where what is found is not what the contract says
    """
    made = onnx.ModelProto()
    made.CopyFrom(served)
    branch = _branch(served)
    if branch is None:
        return made
    inner = single_row(contract)
    made.graph.CopyFrom(branch)
    made.graph.name = contract.name
    for tensor in inner.inputs:
        made.graph.input.append(
            onnx.helper.make_tensor_value_info(INNER + tensor.name, tensor.onnx, ["batch", *tensor.dims])
        )
    for value in (*made.graph.initializer, *made.graph.input, *made.graph.output, *made.graph.node):
        value.name = value.name.removeprefix(INNER)
    for node in made.graph.node:
        node.input[:] = [name.removeprefix(INNER) for name in node.input]
        node.output[:] = [name.removeprefix(INNER) for name in node.output]
    check_graph(made, inner)
    return made


def around(computed: onnx.ModelProto, contract: Contract, served: onnx.ModelProto) -> onnx.ModelProto:
    """The engine's graph again, with another network inside; `served` says whether rows are chosen."""
    return computed if _branch(served) is None else skip_absent(computed, contract)


def rows_of(arrays: Mapping[str, np.ndarray], contract: Contract, served: onnx.ModelProto) -> Arrays:
    """The engine's inputs as the network sees them: the rows that are there, all of them in one batch."""
    mask = mask_of(contract)
    named = {tensor.name: arrays[tensor.name] for tensor in contract.inputs}
    if _branch(served) is None or mask is None:
        return named
    present = named[mask.name].reshape(-1)
    rows = {}
    for outer, inner in zip(contract.inputs, single_row(contract).inputs, strict=True):
        rows[outer.name] = np.ascontiguousarray(named[outer.name].reshape(-1, *inner.dims)[present])
    return rows


def _branch(served: onnx.ModelProto) -> onnx.GraphProto | None:
    for node in served.graph.node:
        if node.op_type == "If" and node.input[0] == "rows/any":
            return next(one.g for one in node.attribute if one.name == "then_branch")
    return None
