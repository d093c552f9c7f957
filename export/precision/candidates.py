"""What may run a network of a target, the lowest precision first, and how each is made of the fp32 graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from export.contract import Contract
from export.cpu_engines import runtime, supports
from export.parity import Run
from export.precision import calibration as real_inputs
from export.precision import inside
from export.precision.conversion import TYPES, emulated, lowered, names_of
from export.precision.fragile import MATRIX, SOFTMAX
from export.precision.quantisation import products, quantised

BITS = {"int8": 8, "fp16": 16, "bf16": 16, "fp32": 32}
CARRIERS = frozenset(("Mul", "Div", "Add", "Where", "Cast", "Reshape", "Transpose", "Identity"))


@dataclass(frozen=True)
class Candidate:
    """keep: names of nodes or modules that stay in fp32, as in `conversion.lowered`."""

    precision: str
    engine: str
    keep: tuple[str, ...] = ()

    def __str__(self) -> str:
        kept = f", {len(self.keep)} kept" if self.keep else ""
        return f"{self.precision} {self.engine}{kept}"

    @property
    def hint(self) -> str:
        """What its engine computes what a graph says in fp32 in: of OpenVINO bf16, where there is some."""
        low = self.engine == "openvino" and self.precision != "fp32" and supports("bf16")
        return "bf16" if low else "fp32"

    @property
    def in_graph(self) -> bool:
        """Whether the precision is written into the graph, where parts of it can be kept in fp32."""
        return self.precision == "int8" or (self.precision in TYPES and self.engine == "tensorrt")


REFERENCE = Candidate("fp32", "onnxruntime")
_TENSORRT = tuple(Candidate(precision, "tensorrt") for precision in ("int8", "fp16", "bf16", "fp32"))
# Of 16 bits fp16 comes first: three more bits in every number; bf16 is for what leaves its range.
# No int8 in OpenVINO: of 16 engines it ended the process with one, refused one, answered no rows with one,
# and was nowhere 5 % faster than the best of the others (docs/decisions/0010-precision.md).
CANDIDATES: Mapping[str, tuple[Candidate, ...]] = {
    "cpu": (
        Candidate("int8", "onnxruntime"),
        Candidate("bf16", "openvino"),
        Candidate("fp32", "openvino"),
        REFERENCE,
    ),
    "gpu": _TENSORRT,
    "rtx": _TENSORRT,
}


def possible(target: str) -> tuple[Candidate, ...]:
    """Those of a target's candidates that this machine can judge: not every processor has bf16."""
    return tuple(
        one
        for one in CANDIDATES[target]
        if one.precision != "bf16" or one.engine != "openvino" or supports("bf16")
    )


class Bench:
    """One engine of a pipeline: its fp32 graph as it is served, and its candidates made from it.

    calibration: the pipeline's tensors on calibration items; folder: for the files of candidates
    """

    def __init__(
        self, contract: Contract, served: onnx.ModelProto, calibration: Mapping[str, np.ndarray], folder: Path
    ) -> None:
        self.contract, self.folder = contract, folder
        self.network = inside.network(served, contract)
        self.served = inside.around(self.network, contract, served)
        self.calibration = real_inputs.in_batches(inside.rows_of(calibration, contract, served))
        self._files: dict[Candidate, Path] = {}

    def graph(self, candidate: Candidate) -> onnx.ModelProto:
        """What a candidate's file holds."""
        if candidate.precision == "int8":
            made = quantised(
                self.network, self.calibration, candidate.keep, symmetric=candidate.engine == "tensorrt"
            )
        elif candidate.in_graph:
            made = lowered(self.network, candidate.precision, candidate.keep)
        else:
            return self.served
        return inside.around(made, self.contract, self.served)

    def run(self, candidate: Candidate) -> Run:
        """A function that answers as the candidate would, on this machine's processor.

        TensorRT's own rounding of fp16 and bf16 is emulated: products summed in fp32, all else rounded
        """
        if candidate not in self._files:
            path = self.folder / f"{self.contract.name}-{len(self._files)}.onnx"
            graph = self.graph(candidate)
            onnx.save(emulated(graph) if _rounds(candidate) else graph, path)
            self._files[candidate] = path
        path = self._files[candidate]
        if candidate.engine == "tensorrt":
            return exactly(path) if _rounds(candidate) else runtime(path)
        return runtime(path, candidate.engine, candidate.hint)

    def measurable(self, candidate: Candidate) -> bool:
        """Whether its speed here says anything about its speed where it will run."""
        return candidate.engine != "tensorrt"

    def before_softmax(self) -> tuple[str, ...]:
        """Names of the nodes whose answers a softmax sharpens: logits, and the queries and keys of them."""
        made_by = {name: node for node in self.network.graph.node for name in node.output}
        found = set()
        waiting = [(n, 2) for one in self.network.graph.node if one.op_type in SOFTMAX for n in one.input]
        while waiting:
            name, products_left = waiting.pop()
            before = made_by.get(name)
            if before is None or not products_left or before.op_type not in CARRIERS | MATRIX:
                continue
            found.add(before.name)
            further = products_left - (before.op_type in MATRIX)
            waiting += [(read, further) for read in before.input]
        return tuple(sorted(found))

    def lowers(self, candidate: Candidate) -> bool:
        """Whether any product is still low: a candidate that keeps them all has no other name than fp32."""
        if candidate.precision == "int8":
            return bool(products(self.network, candidate.keep))
        kept = set(candidate.keep)
        return any(
            node.op_type in MATRIX and not kept.intersection(names_of(node))
            for node in self.network.graph.node
        )

    def blocks(self, precision: str) -> tuple[str, ...]:
        """Names of the parts that can be kept apart: numbered layers, and modules outside of them."""
        nodes = self.network.graph.node
        chosen = set(products(self.network)) if precision == "int8" else {node.name for node in nodes}
        return tuple(dict.fromkeys(_block(node) for node in nodes if node.name in chosen))


def exactly(path: Path) -> Run:
    """ONNX Runtime without optimisations, which take two casts for none: for emulated graphs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, dict(inputs)), strict=True))


def keeping(candidate: Candidate, names: Sequence[str]) -> Candidate:
    """The candidate with more of the network in fp32."""
    return replace(candidate, keep=tuple(dict.fromkeys((*candidate.keep, *names))))


def _rounds(candidate: Candidate) -> bool:
    return candidate.engine == "tensorrt" and candidate.precision in TYPES


def _block(node: onnx.NodeProto) -> str:
    """`encoder.layers.3` for all inside of it; elsewhere the innermost module, or the node itself."""
    own, *modules = names_of(node)
    for name in reversed(modules):  # the outermost first
        if name.rsplit(".", 1)[-1].isdigit():
            return name
    return modules[0] if modules else own
