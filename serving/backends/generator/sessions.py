"""ONNX Runtime sessions with the settings of the onnxruntime backend, of which this one cannot import."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

# As in the onnxruntime backend: spinning threads of several sessions steal the cores from each other.
ENTRIES = {"session.intra_op.allow_spinning": "0", "session.inter_op.allow_spinning": "0"}
LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    0: ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}


def options_of(config: Mapping[str, Any]) -> ort.SessionOptions:
    """Options of every session from a model configuration, as Triton hands it to a backend.

    parameters: intra_op_thread_count, inter_op_thread_count and any `session.*` entry of ONNX Runtime
    errors: ValueError for what is no number, or no level of optimisation
    """
    parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
    options = ort.SessionOptions()
    options.intra_op_num_threads = _count(parameters, "intra_op_thread_count") or len(os.sched_getaffinity(0))
    options.inter_op_num_threads = _count(parameters, "inter_op_thread_count") or 1
    level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
    if level not in LEVELS:
        raise ValueError(f"optimization.graph.level: expected one of {sorted(LEVELS)}, got {level}")
    options.graph_optimization_level = LEVELS[level]
    options.log_severity_level = 3  # errors only: they reach the caller, warnings about folding reach nobody
    entries = {key: value for key, value in parameters.items() if key.startswith("session.")}
    for key, value in (ENTRIES | entries).items():
        options.add_session_config_entry(key, value)
    return options


def _count(parameters: Mapping[str, str], name: str) -> int:
    """A whole number >= 0 out of the configuration's strings; 0 when absent."""
    text = parameters.get(name, "0").strip()
    if not text.isdecimal():
        raise ValueError(f"parameter {name}: expected a whole number >= 0, got {text!r}")
    return int(text)


class Graph:
    """One graph with one output, on the CPU.

    errors: ValueError that names the file when it is missing, does not load or has other inputs
    """

    def __init__(self, path: Path, options: ort.SessionOptions, inputs: Sequence[str]) -> None:
        if not path.is_file():
            raise ValueError(f"{path} is missing; write it with `python -m export`")
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises classes of its own that share no base but Exception
            raise ValueError(f"{path}: ONNX Runtime {ort.__version__} cannot load it: {error}") from error
        found = [node.name for node in self._session.get_inputs()]
        if sorted(found) != sorted(inputs):
            raise ValueError(
                f"{path}: expected the inputs {', '.join(inputs)}, got {', '.join(found)}; export it again"
            )
        self._inputs = tuple(inputs)
        self._output = self._session.get_outputs()[0].name

    def __call__(self, *arrays: np.ndarray) -> np.ndarray:
        """Run it on its inputs, in the order that they were named in."""
        return self._session.run([self._output], dict(zip(self._inputs, arrays, strict=True)))[0]
