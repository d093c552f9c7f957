"""Engine files run with the settings of our own backends, outside Triton; imports no protobuf.

Every peer's environment brings its own, and this is all that it needs to run what we serve.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.peers.settings import EngineFile

Arrays = dict[str, np.ndarray]
Run = Callable[[Mapping[str, np.ndarray]], Arrays]


def opened(file: EngineFile, threads: int) -> Run:
    """A function that runs the file: input name -> array to output name -> array; for one thread at a time.

    errors: LookupError for an engine that peers do not have
    """
    if file.engine not in ENGINES:
        raise LookupError(f"engine: expected one of {', '.join(ENGINES)}, got {file.engine}")
    return ENGINES[file.engine](file, threads)


def _onnx_runtime(file: EngineFile, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    for entry in ("session.intra_op.allow_spinning", "session.inter_op.allow_spinning"):
        options.add_session_config_entry(entry, "0")
    session = onnxruntime.InferenceSession(file.path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, dict(inputs)), strict=True))


def _open_vino(file: EngineFile, threads: int) -> Run:
    import openvino

    properties = {
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[file.precision],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # each worker is a process, and all would pin to the first core
    }
    compiled = openvino.Core().compile_model(file.path, "CPU", properties)
    request: Any = compiled.create_infer_request()
    names = [output.any_name for output in compiled.outputs]

    def run(inputs: Mapping[str, np.ndarray]) -> Arrays:
        # Inputs are read where they lie, as by our own backend; what comes back is a copy already.
        found = request.infer(dict(inputs), share_inputs=True)
        return {name: found[index] for index, name in enumerate(names)}

    return run


ENGINES: dict[str, Callable[[EngineFile, int], Run]] = {
    "onnxruntime": _onnx_runtime,
    "openvino": _open_vino,
}
