"""fp16 or bf16 written into an ONNX graph: what TensorRT builds is then what the graph says, node by node.

    lowered(graph, "bf16")                                   # all but what `fragile` keeps in fp32
    lowered(graph, "fp16", keep=("encoder.layers.0",))       # and this module, by its name in PyTorch
    emulated(lowered(graph, "bf16"))                         # the same rounding in fp32, for any runtime

Inputs and outputs keep their types. Weights are stored in the low type. A cast stands only where a value
crosses from one type to the other. Products are meant to be summed in fp32, as matrix units do.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference, version_converter

from export.absent_rows import INNER
from export.precision.fragile import constants_of, fragile_nodes

TYPES = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
BF16_OPSET = 22  # the first whose convolutions and poolings may be bf16
INSENSITIVE = frozenset(("Shape", "Size"))  # read no number, so any type will do
SCALES = {"Resize": (1, 2)}  # inputs that stay fp32 whatever the type of the first


def lowered(graph: onnx.ModelProto, precision: str, keep: Collection[str] = ()) -> onnx.ModelProto:
    """A copy of `graph` that computes in `precision` ("fp32" copies only) wherever that is not fragile.

    keep: names of nodes, or of PyTorch modules (`encoder.layers.0`), that stay in fp32 besides
    errors: ValueError for another precision, and for a name in `keep` that no node goes by
    """
    made = onnx.ModelProto()
    made.CopyFrom(graph)
    if precision == "fp32":
        return made
    if precision not in TYPES:
        raise ValueError(f"precision: expected one of fp32, {', '.join(TYPES)}, got {precision}")
    check_names(graph, keep)
    if precision == "bf16" and _opset(made) < BF16_OPSET:
        made = _raised(made, BF16_OPSET)
    kinds = dict(_kinds(shape_inference.infer_shapes(made).graph))
    _Lowering(TYPES[precision], precision, frozenset(keep), kinds, _opset(made)).rewrite(made.graph)
    return made


def emulated(graph: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a lowered graph in fp32 that rounds every low value as the low type would.

    For judging where no processor or no runtime has the type: ONNX Runtime multiplies no bf16 on the CPU.
    Sums inside a product stay in fp32, as in matrix units. Run it without graph optimisations, which may
    take two casts for none.
    """
    made = onnx.ModelProto()
    made.CopyFrom(graph)
    low = frozenset(TYPES.values())
    kinds = dict(_kinds(shape_inference.infer_shapes(made).graph))
    for inner in graphs_of(made.graph):
        _widen(inner, {name: kind for name, kind in kinds.items() if kind in low})
    return made


def check_names(graph: onnx.ModelProto, keep: Collection[str]) -> None:
    """ValueError for names that neither a node nor a module of the graph has."""
    known = {name for inner in graphs_of(graph.graph) for node in inner.node for name in names_of(node)}
    unknown = sorted(set(keep) - known)
    if unknown:
        raise ValueError(
            f"keep: expected names of nodes or modules of the graph, got {', '.join(unknown)}; "
            "`python -m export` prints those it tried"
        )


def names_of(node: onnx.NodeProto) -> Iterator[str]:
    """The node's own name and those of the PyTorch modules around it, the innermost first."""
    yield node.name.removeprefix(INNER)
    scopes = next((p.value for p in node.metadata_props if p.key == "pkg.torch.onnx.name_scopes"), "")
    if scopes:
        for name in reversed(json.loads(scopes.replace("'", '"'))[:-1]):
            if name:
                yield name


def graphs_of(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and all inside its nodes, the innermost last."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs_of(attribute.g)


def low_nodes(graph: onnx.ModelProto) -> list[str]:
    """Names of the nodes of a lowered graph that compute in a low type, casts aside."""
    low = frozenset(TYPES.values())
    kinds = dict(_kinds(shape_inference.infer_shapes(graph).graph))
    return [
        node.name.removeprefix(INNER)
        for inner in graphs_of(graph.graph)
        for node in inner.node
        if node.op_type != "Cast" and any(kinds.get(name) in low for name in node.output)
    ]


@dataclass
class _Lowering:
    """One graph after the other, the outer first; names are unique over all of them, as ONNX wants it."""

    low: int
    suffix: str
    keep: frozenset[str]
    kinds: dict[str, int]
    opset: int
    made: list[onnx.NodeProto] = field(default_factory=list)

    def rewrite(self, graph: onnx.GraphProto) -> None:
        constants_as_initializers(graph)
        nodes = list(graph.node)
        chosen = self.chosen(graph)
        produced = {name for place in chosen for name in nodes[place].output}
        wanted_low = {name for place in chosen for name in self.float_inputs(nodes[place])} - produced
        wanted_full = self.wanted_full(graph, chosen)
        self.made = []
        self.initializers(graph, wanted_low, wanted_full)
        for value in graph.input:
            self.narrow(value.name, wanted_low)
        for place, node in enumerate(nodes):
            if place in chosen:
                self.low_node(node, wanted_full)
            else:
                self.full_node(node, produced, wanted_low)
        del graph.node[:], graph.value_info[:]
        graph.node.extend(self.made)
        for inner in _inside(graph):
            self.rewrite(inner)

    def chosen(self, graph: onnx.GraphProto) -> set[int]:
        """Positions in `graph.node` of what will compute in the low type."""
        fragile = fragile_nodes(graph, constants_of(graph))
        return {
            place
            for place, node in enumerate(graph.node)
            if place not in fragile and not self.keep.intersection(names_of(node)) and self.may(node)
        }

    def wanted_full(self, graph: onnx.GraphProto, chosen: set[int]) -> set[str]:
        """Values that somebody reads in the type they have now: other nodes, graphs inside, the outside."""
        names = {value.name for value in graph.output}
        names.update(n for one in _inside(graph) for sub in graphs_of(one) for m in sub.node for n in m.input)
        for place, node in enumerate(graph.node):
            if place in chosen:
                names.update(set(node.input) - set(self.float_inputs(node)))
            elif node.op_type not in INSENSITIVE:
                names.update(node.input)
        return names

    def is_float(self, name: str) -> bool:
        return self.kinds.get(name) == TensorProto.FLOAT

    def may(self, node: onnx.NodeProto) -> bool:
        """Whether the operator makes fp32 numbers of such, or of truth values, and has the low type."""
        if not node.output or not all(self.is_float(name) for name in node.output):
            return False
        if node.op_type == "Cast":
            return self.kinds.get(node.input[0]) == TensorProto.BOOL
        if not any(self.is_float(name) for name in node.input):
            return False
        schema = onnx.defs.get_schema(node.op_type, self.opset)
        wanted = f"tensor({'bfloat16' if self.low == TensorProto.BFLOAT16 else 'float16'})"
        return any(wanted in constraint.allowed_type_strs for constraint in schema.type_constraints)

    def float_inputs(self, node: onnx.NodeProto) -> list[str]:
        fixed = SCALES.get(node.op_type, ())
        return [n for place, n in enumerate(node.input) if self.is_float(n) and place not in fixed]

    def lower_name(self, name: str) -> str:
        return f"{name}_{self.suffix}"

    def narrow(self, name: str, wanted_low: set[str]) -> None:
        """Cast a value that came in fp32 for those who want it low."""
        if name in wanted_low:
            self.made.append(_cast(name, self.lower_name(name), self.low))

    def full_node(self, node: onnx.NodeProto, produced: set[str], wanted_low: set[str]) -> None:
        """Leave one node as it is, and cast its answers for those who want them low."""
        self.made.append(node)
        if node.op_type in INSENSITIVE:
            node.input[:] = [self.lower_name(name) if name in produced else name for name in node.input]
        for name in node.output:
            self.narrow(name, wanted_low)

    def low_node(self, node: onnx.NodeProto, wanted_full: set[str]) -> None:
        """Put one node in the low type, and cast its answers back for those who want them whole."""
        self.made.append(node)
        fixed = SCALES.get(node.op_type, ())
        for place, name in enumerate(node.input):
            if self.is_float(name) and place not in fixed:
                node.input[place] = self.lower_name(name)
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to":
                attribute.i = self.low
        for place, name in enumerate(node.output):
            node.output[place] = self.lower_name(name)
            if name in wanted_full:
                self.made.append(_cast(self.lower_name(name), name, TensorProto.FLOAT))

    def initializers(self, graph: onnx.GraphProto, wanted_low: set[str], wanted_full: set[str]) -> None:
        kept = []
        for tensor in graph.initializer:
            if tensor.name in wanted_low:
                kept.append(narrowed(tensor, self.lower_name(tensor.name), self.low))
            if tensor.name in wanted_full or tensor.name not in wanted_low:
                kept.append(tensor)
        del graph.initializer[:]
        graph.initializer.extend(kept)


def narrowed(tensor: TensorProto, name: str, low: int) -> TensorProto:
    """The fp32 tensor rounded to the low type, under another name."""
    array = numpy_helper.to_array(tensor).astype(np.float32)
    if low == TensorProto.FLOAT16:
        return numpy_helper.from_array(array.astype(np.float16), name)
    made = TensorProto(name=name, data_type=TensorProto.BFLOAT16, dims=array.shape)
    made.raw_data = array.astype(helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16)).tobytes()
    return made


def constants_as_initializers(graph: onnx.GraphProto) -> None:
    """Constants that are tensors become initializers: one place to store them in another type."""
    rest = []
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = node.attribute[0].t
            tensor.name = node.output[0]
            graph.initializer.append(tensor)
        else:
            rest.append(node)
    del graph.node[:]
    graph.node.extend(rest)


def _widen(graph: onnx.GraphProto, low: dict[str, int]) -> None:
    """Replace low types by fp32 and a rounding, in place."""
    for tensor in graph.initializer:
        if tensor.data_type in TYPES.values():
            array = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    made = []
    for node in graph.node:
        made.append(node)
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i in TYPES.values():
                attribute.i = TensorProto.FLOAT
        for place, name in enumerate(node.output):
            if name in low:
                node.output[place] = f"{name}/exact"
                made.append(_cast(f"{name}/exact", f"{name}/rounded", low[name]))
                made.append(_cast(f"{name}/rounded", name, TensorProto.FLOAT))
                made[-1].name = f"back/{name}"
    del graph.node[:], graph.value_info[:]
    graph.node.extend(made)


def _raised(graph: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The graph in a later opset; the library's converter forgets which module a node came from."""
    made = version_converter.convert_version(graph, opset)
    origin = {node.name: node.metadata_props for inner in graphs_of(graph.graph) for node in inner.node}
    for inner in graphs_of(made.graph):
        for node in inner.node:
            if node.name in origin and not node.metadata_props:
                node.metadata_props.extend(origin[node.name])
    return made


def _inside(graph: onnx.GraphProto) -> list[onnx.GraphProto]:
    return [a.g for node in graph.node for a in node.attribute if a.HasField("g")]


def _cast(name: str, result: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [name], [result], name=f"cast/{result}", to=kind)


def _kinds(graph: onnx.GraphProto) -> Iterator[tuple[str, int]]:
    """Name -> element type of every value of a graph and of those inside it, as far as known."""
    for inner in graphs_of(graph):
        values: Sequence[onnx.ValueInfoProto] = (*inner.input, *inner.output, *inner.value_info)
        yield from ((value.name, value.type.tensor_type.elem_type) for value in values)
        yield from ((tensor.name, tensor.data_type) for tensor in inner.initializer)
        for node in inner.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                yield node.output[0], node.attribute[0].t.data_type


def _opset(graph: onnx.ModelProto) -> int:
    return next(entry.version for entry in graph.opset_import if entry.domain in ("", "ai.onnx"))
