"""Run an ONNX file on the CPU with an engine and in a precision, or refuse: nothing falls back in silence.

ONNX Runtime computes what the graph says. OpenVINO computes an fp32 graph in bf16 when it is told to
(`INFERENCE_PRECISION_HINT`), and in fp32 without a word where the processor has no bf16: so it is read back.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from export.contract import Contract
from export.parity import Arrays, Run, onnx_runtime

if TYPE_CHECKING:
    from openvino import CompiledModel

ENGINES = ("onnxruntime", "openvino")
REFERENCE = ("onnxruntime", "fp32")  # what every other engine and precision is measured by
HINTS = {"fp32": "f32", "bf16": "bf16"}  # our precision -> OpenVINO's name of it
READ_BACK = {"f32": "fp32", "float": "fp32", "float32": "fp32", "bf16": "bf16", "bfloat16": "bf16"}


def runtime(path: Path, engine: str = "onnxruntime", precision: str = "fp32", threads: int = 1) -> Run:
    """A function that runs the file: input name -> array to output name -> array.

    precision: what an fp32 graph is computed in; one that says int8 or bf16 itself is run as it says, in fp32
    errors: LookupError for an engine or a precision that it does not have, RuntimeError where this processor
            would run another precision
    """
    if engine not in ENGINES:
        raise LookupError(f"engine: expected one of {', '.join(ENGINES)}, got {engine}")
    if engine == "openvino":
        return _open_vino(path, precision, threads)
    if precision != "fp32":
        raise LookupError(
            f"precision: expected fp32, as ONNX Runtime computes what the graph says, got {precision}; lower "
            "the graph, or choose openvino"
        )
    return onnx_runtime(path, threads)


def configured(promised: Contract) -> tuple[str, str]:
    """Engine and precision that this processor runs a model of that configuration with."""
    bf16 = promised.parameters.get("HINT_BF16") == "YES" and supports("bf16")
    return promised.engine, "bf16" if bf16 else "fp32"


def supports(precision: str) -> bool:
    """Whether OpenVINO on this processor computes in `precision`."""
    from openvino import Core

    return precision == "fp32" or precision.upper() in Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def processor() -> str:
    """What speeds are measured on and with: the processor, as OpenVINO names it, and both engines."""
    import onnxruntime
    import openvino

    name = openvino.Core().get_property("CPU", "FULL_DEVICE_NAME")
    return f"{name}, onnxruntime {onnxruntime.__version__}, openvino {openvino.__version__}"


def compiled(path: Path, precision: str, threads: int) -> CompiledModel:
    """The file compiled by OpenVINO for the CPU; errors as `runtime`."""
    from openvino import Core

    if precision not in HINTS:
        raise LookupError(f"precision: expected one of {', '.join(HINTS)}, got {precision}")
    settings = {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
    }
    model = Core().compile_model(str(path), "CPU", settings)
    found = precision_of(model)
    if found != precision:
        raise RuntimeError(
            f"{path}: expected OpenVINO to run {precision}, got {found}: this processor has none of it; ask "
            "for fp32"
        )
    return model


def precision_of(model: CompiledModel) -> str:
    """What a compiled model computes in, as OpenVINO itself says: fp32, bf16, or its name of another."""
    said = model.get_property("INFERENCE_PRECISION_HINT")
    name = str(said.to_string() if hasattr(said, "to_string") else said)
    return READ_BACK.get(name, name)


def _open_vino(path: Path, precision: str, threads: int) -> Run:
    model = compiled(path, precision, threads)
    request: Any = model.create_infer_request()
    told = {output.name for output in onnx.load(path, load_external_data=False).graph.output}
    # a tensor that passes pairs of quantisation has the names of all of them
    names = [next(name for name in port.names if name in told) for port in model.outputs]

    def run(inputs: Mapping[str, np.ndarray]) -> Arrays:
        found = request.infer(dict(inputs), share_inputs=True)
        return {name: found[index] for index, name in enumerate(names)}

    return run
