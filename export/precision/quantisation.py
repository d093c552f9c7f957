"""int8 written into an ONNX graph: pairs of QuantizeLinear and DequantizeLinear around products with weights.

The ranges come from real inputs of the task and from nothing else: what random numbers make of an activation
says little about what a weld does. Products of two activations (attention), and all that `fragile` lists,
stay as they are: they are a small part of the arithmetic and the first to break.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from export.precision.conversion import check_names, constants_as_initializers, names_of
from export.precision.fragile import constants_of, fragile_nodes

PRODUCTS = ("MatMul", "Gemm", "Conv")
FEWEST = 8  # rows; below it a range is chance


def quantised(
    graph: onnx.ModelProto,
    calibration: Sequence[Mapping[str, np.ndarray]],
    keep: Collection[str] = (),
    symmetric: bool = False,
) -> onnx.ModelProto:
    """A copy of `graph`, which has no subgraphs, with its products of weights in int8.

    calibration: real inputs, input name -> (batch, ...), in as many batches as is convenient
    keep:        names of nodes, or of PyTorch modules, that stay as they are besides
    symmetric:   activations from -127 to 127, since TensorRT's parser refuses any zero point but 0;
                 else 0 to 255, as processors multiply them
    errors:      ValueError without calibration, for inputs that are not the graph's, for unknown names
    """
    rows = sum(len(next(iter(batch.values()))) for batch in calibration)
    if rows < FEWEST:
        raise ValueError(
            f"calibration: expected real inputs of the task, {FEWEST} rows or more, got {rows}; int8 is "
            "never calibrated on random ones"
        )
    wanted = {value.name for value in graph.graph.input}
    for batch in calibration:
        if set(batch) != wanted:
            raise ValueError(
                f"calibration: expected the inputs {', '.join(sorted(wanted))}, got "
                f"{', '.join(sorted(batch))}"
            )
    check_names(graph, keep)
    plain = onnx.ModelProto()
    plain.CopyFrom(graph)
    constants_as_initializers(plain.graph)
    chosen = products(plain, keep)
    if not chosen:
        return plain
    origin = {node.name: node.metadata_props for node in plain.graph.node}
    made = _quantise(plain, calibration, chosen, symmetric)
    for node in made.graph.node:
        if node.name in origin and not node.metadata_props:
            node.metadata_props.extend(origin[node.name])
    return made


def products(graph: onnx.ModelProto, keep: Collection[str] = ()) -> list[str]:
    """Names of the nodes that int8 is for: products with a constant, not fragile, not kept."""
    constants = constants_of(graph.graph)
    fragile = fragile_nodes(graph.graph, constants)
    return [
        node.name
        for place, node in enumerate(graph.graph.node)
        if node.op_type in PRODUCTS
        and place not in fragile
        and any(name in constants and constants[name].ndim > 1 for name in node.input)
        and not set(keep).intersection(names_of(node))
    ]


def _quantise(
    graph: onnx.ModelProto,
    calibration: Sequence[Mapping[str, np.ndarray]],
    chosen: Sequence[str],
    symmetric: bool,
) -> onnx.ModelProto:
    logging.disable(logging.WARNING)  # the library advises a preprocessing that folds what is folded
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "int8.onnx"
            quantize_static(
                graph,
                str(path),
                _Reader(calibration),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                op_types_to_quantize=list(PRODUCTS),
                nodes_to_quantize=list(chosen),
                calibration_providers=["CPUExecutionProvider"],
                # the bias stays fp32: an int32 one costs TensorRT and OpenVINO a pattern and gains nothing
                extra_options={
                    "MatMulConstBOnly": True,
                    "QuantizeBias": False,
                    "ActivationSymmetric": symmetric,
                    "WeightSymmetric": True,
                    # A processor multiplies in int8 only where answers are int8 as well. TensorRT takes them
                    # as they are, and a step for values to 101 is none for what a ReLU6 leaves of them.
                    "OpTypesToExcludeOutputQuantization": list(PRODUCTS) if symmetric else [],
                },
            )
            return onnx.load(path)
    finally:
        logging.disable(logging.NOTSET)


class _Reader(CalibrationDataReader):
    """Hands out the batches one after the other, as the library wants it."""

    def __init__(self, batches: Sequence[Mapping[str, np.ndarray]]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch, None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else dict(batch)
