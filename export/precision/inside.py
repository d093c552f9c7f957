"""The network inside an engine's graph: out of the branch that skips absent rows, and back into it.

Precision is a matter of the network; the operators around it choose rows. See `export.absent_rows`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

import numpy as np
import onnx

from export.absent_rows import INNER, mask_of, single_row, skip_absent
from export.contract import Contract
from export.onnx_graphs import check_graph
from export.parity import Arrays
from export.precision.conversion import names_of


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


def whole_requests(arrays: Mapping[str, np.ndarray], contract: Contract) -> Arrays:
    """The engine's inputs in requests without an absent row, for a graph that computes all of them.

    The rows that are there, in their order, and the first ones again until the last request is full.
    """
    mask = mask_of(contract)
    named = {tensor.name: arrays[tensor.name] for tensor in contract.inputs}
    if mask is None or named[mask.name].all():
        return named
    present = np.flatnonzero(named[mask.name])
    chosen = np.resize(present, -(-len(present) // mask.dims[0]) * mask.dims[0])
    return {
        outer.name: named[outer.name].reshape(-1, *inner.dims)[chosen].reshape(-1, *outer.dims)
        for outer, inner in zip(contract.inputs, single_row(contract).inputs, strict=True)
    }


def renamed(keep: Collection[str], network: onnx.ModelProto, dense: onnx.ModelProto) -> tuple[str, ...]:
    """`keep`, names of nodes or modules of `network`, as the same nodes and modules are called in `dense`.

    The exporter numbers nodes, and a graph of several rows has a few more than that of one; modules keep
    their names, and inside of a module the n-th operator of a kind is the same in both.
    errors: ValueError for a node that `dense` has no counterpart of
    """
    known = {name for node in network.graph.node for name in list(names_of(node))[1:]}
    there = {place: name for name, place in _places(dense)}
    found = []
    for name, place in _places(network):
        if name in keep and name not in known:
            if place not in there:
                raise ValueError(
                    f"keep: expected {name}, a {place[1]} of {place[0][0] if place[0] else 'no module'}, in "
                    "the graph that a plan is built of, found none; keep its module"
                )
            found.append(there[place])
    return (*(name for name in keep if name in known), *found)


def _places(graph: onnx.ModelProto) -> Iterator[tuple[str, tuple[tuple[str, ...], str, int]]]:
    """Every node's name, and where it is: its modules, its kind, and how many of these came before."""
    before: dict[tuple[tuple[str, ...], str], int] = defaultdict(int)
    for node in graph.graph.node:
        name, *modules = names_of(node)
        kind = (tuple(modules), node.op_type)
        yield name, (*kind, before[kind])
        before[kind] += 1


def _branch(served: onnx.ModelProto) -> onnx.GraphProto | None:
    for node in served.graph.node:
        if node.op_type == "If" and node.input[0] == "rows/any":
            return next(one.g for one in node.attribute if one.name == "then_branch")
    return None
