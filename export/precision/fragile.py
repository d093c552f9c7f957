"""Which nodes of a graph stay in fp32 whatever is asked: what reduced numbers are known to break.

norms       normalisation, also written out as ReduceMean, Pow, Sqrt; sums over many elements
softmax     exponentials of differences
inputs      everything before the first matrix product: pixels, units of a log, positions (Sin, Cos, Range)
log-mel     what is taken a logarithm of, back to the input: powers of a spectrum span more than fp16 has
range       constants beyond fp16 (a mask of -3e38) and what is computed from them, until a softmax, a norm or
            a comparison has made it small again; constants below it (an epsilon of 1e-12) and the next node
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import numpy_helper

NORMS = frozenset(
    (
        "LayerNormalization",
        "RMSNormalization",
        "BatchNormalization",
        "InstanceNormalization",
        "GroupNormalization",
        "LpNormalization",
        "ReduceMean",
        "ReduceSum",
        "ReduceL1",
        "ReduceL2",
        "ReduceSumSquare",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "ReduceProd",
        "GlobalAveragePool",
        "CumSum",
        "Pow",
        "Sqrt",
        "Reciprocal",
    )
)
SOFTMAX = frozenset(("Softmax", "LogSoftmax", "Exp", "Log"))
POSITIONS = frozenset(("Sin", "Cos", "Range", "ConstantOfShape", "RandomNormalLike", "RandomUniformLike"))
OPAQUE = frozenset(("Loop", "Scan", "SequenceMap", "If"))  # an If is entered, its borders stay fp32
MATRIX = frozenset(("MatMul", "Gemm", "Conv", "ConvTranspose", "Einsum"))
# what comes out of these is small whatever went in
BOUNDED = frozenset(
    (
        "Softmax",
        "Sigmoid",
        "Tanh",
        "LayerNormalization",
        "RMSNormalization",
        "InstanceNormalization",
        "GroupNormalization",
        "LpNormalization",
        "Less",
        "LessOrEqual",
        "Greater",
        "GreaterOrEqual",
        "Equal",
        "Not",
        "And",
        "Or",
        "Shape",
        "Size",
        "ArgMax",
        "ArgMin",
        "NonZero",
    )
)
LARGEST, SMALLEST = 65504.0, 6e-8  # of fp16: its largest number, its smallest above nothing

Constants = Mapping[str, np.ndarray]


def fragile_nodes(graph: onnx.GraphProto, constants: Constants) -> set[int]:
    """Positions in `graph.node` of what has to stay in fp32, by the rules above."""
    nodes = list(graph.node)
    kept = {
        place
        for place, node in enumerate(nodes)
        if node.op_type in NORMS | SOFTMAX | POSITIONS | OPAQUE or node.domain not in ("", "ai.onnx")
    }
    return kept | _before_products(nodes) | _under_logarithms(nodes) | _out_of_range(nodes, constants)


def constants_of(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """Name -> array of everything in the graph that no input changes."""
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return found


def too_large(array: np.ndarray) -> bool:
    """Whether a constant has elements that fp16 cannot reach, infinities included."""
    return array.dtype == np.float32 and array.size > 0 and not bool((np.abs(array) <= LARGEST).all())


def too_small(array: np.ndarray) -> bool:
    """Whether all that a constant says would become nothing in fp16."""
    if array.dtype != np.float32 or not array.any():
        return False
    return bool(np.abs(array).max() < SMALLEST)


def _before_products(nodes: Sequence[onnx.NodeProto]) -> set[int]:
    """Nodes that no matrix product comes before, other than products themselves."""
    after: set[str] = set()
    found = set()
    for place, node in enumerate(nodes):
        if node.op_type in MATRIX or after.intersection(node.input):
            after.update(node.output)
        else:
            found.add(place)
    return found


def _under_logarithms(nodes: Sequence[onnx.NodeProto]) -> set[int]:
    """What a logarithm is taken of, back to where a norm or a softmax has made it small."""
    wanted: set[str] = set()
    found = set()
    for place in reversed(range(len(nodes))):
        node = nodes[place]
        if node.op_type == "Log" or wanted.intersection(node.output):
            found.add(place)
            if node.op_type not in BOUNDED:
                wanted.update(node.input)
    return found


def _out_of_range(nodes: Sequence[onnx.NodeProto], constants: Constants) -> set[int]:
    """Users of constants that fp16 cannot say, and what is computed from their answers."""
    large = {name for name, array in constants.items() if too_large(array)}
    small = {name for name, array in constants.items() if too_small(array)}
    after_small: set[str] = set()
    found = set()
    for place, node in enumerate(nodes):
        names = set(node.input)
        if names & (large | small | after_small):
            found.add(place)
        if names & large and node.op_type not in BOUNDED:
            large.update(node.output)
        if names & small:
            after_small.update(node.output)
    return found
