"""OpenVINO behind the contract of NVIDIA's backend of that name, where only the python backend exists.

The same `config.pbtxt` runs on both: `default_model_filename` and the parameters below mean what they mean
there (https://github.com/triton-inference-server/openvino_backend, README).
"""

import sys

sys.dont_write_bytecode = True  # Triton takes a new __pycache__ for a change of the model

import json  # noqa: E402
import os  # noqa: E402
from collections.abc import Mapping, Sequence  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import openvino as ov  # noqa: E402
import triton_python_backend_utils as pb_utils  # noqa: E402

# Resolved: an installation links the folders of the backends, the module that they share lies beside them.
sys.path.append(str(Path(__file__).resolve().parents[1]))

import batches  # noqa: E402

BF16 = {"": "f32", "NO": "f32", "YES": "bf16"}  # HINT_BF16 -> OpenVINO's own name; NVIDIA's knows YES only


class TritonPythonModel:
    """One instance of one model: a compiled model, its one request, and the names of its configuration."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load `<version>/<default_model_filename>`; an error here keeps the model from becoming ready."""
        config = json.loads(args["model_config"])
        path = batches.file_of(args, config)
        wanted = settings(config)
        compiled = load(path, wanted)
        _say_what_it_runs(config["name"], compiled, wanted)
        inputs, outputs = (
            [_name(port, config[kind]) for port in getattr(compiled, f"{kind}s")]
            for kind in ("input", "output")
        )
        batches.check_names(path, config, inputs, outputs)
        request = compiled.create_infer_request()
        positions = {name: index for index, name in enumerate(outputs)}

        def run(feed: batches.Feed, names: list[str]) -> batches.Feed:
            # Inputs are read where they lie: copying them takes 0.3 to 0.9 ms each time, whatever their size.
            found = request.infer(feed, share_inputs=True)
            return {name: found[positions[name]] for name in names}

        self._batches = batches.Batches(config, run)

    def execute(self, requests: Sequence["pb_utils.InferenceRequest"]) -> list["pb_utils.InferenceResponse"]:
        """One response for each request, in order."""
        return self._batches.execute(requests)


def _name(port: Any, declared: Sequence[Mapping]) -> str:
    """What the configuration calls it, if it has that name: a tensor behind int8 may have several."""
    known = {tensor["name"] for tensor in declared} & set(port.get_names())
    return known.pop() if known else port.get_any_name()


def settings(config: Mapping) -> dict[str, object]:
    """Properties of a compiled model from a model configuration.

    parameters: INFERENCE_NUM_THREADS, COMPILATION_NUM_THREADS, NUM_STREAMS and HINT_BF16 (YES or NO)
    """
    parameters = batches.parameters_of(config)
    hint = parameters.get("HINT_BF16", "")
    if hint not in BF16:
        raise pb_utils.TritonModelException(f"parameter HINT_BF16: expected YES or NO, got {hint!r}")
    cores = len(os.sched_getaffinity(0))
    found: dict[str, object] = {
        # Said even where it is fp32: left to itself, OpenVINO takes bf16 wherever the processor has it.
        "INFERENCE_PRECISION_HINT": BF16[hint],
        "INFERENCE_NUM_THREADS": batches.integer(parameters, "INFERENCE_NUM_THREADS") or cores,
        # One batch at a time comes from Triton: a second stream would wait for nothing with half the threads.
        "NUM_STREAMS": batches.integer(parameters, "NUM_STREAMS") or 1,
        # Each model is a process of its own, and all of them would pin their first thread to the first core.
        "ENABLE_CPU_PINNING": False,
    }
    compiling = batches.integer(parameters, "COMPILATION_NUM_THREADS")
    return found | ({"COMPILATION_NUM_THREADS": compiling} if compiling else {})


def load(path: Path, wanted: Mapping[str, object]) -> ov.CompiledModel:
    """The ONNX file compiled for the CPU, or an error that names the file."""
    try:
        return ov.Core().compile_model(str(path), "CPU", dict(wanted))
    except Exception as error:  # OpenVINO raises RuntimeError and classes of its own
        cause = " ".join(str(error).split())
        raise pb_utils.TritonModelException(
            f"{path}: OpenVINO {ov.__version__} cannot load it ({path.stat().st_size} bytes): {cause}"
        ) from error


def _say_what_it_runs(name: str, compiled: ov.CompiledModel, wanted: Mapping[str, object]) -> None:
    """A processor without bf16 runs fp32 and answers as well, only later: served, and said in the log."""
    found = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if found != wanted["INFERENCE_PRECISION_HINT"]:
        pb_utils.Logger.log_warn(
            f"{name}: expected {wanted['INFERENCE_PRECISION_HINT']}, this processor has none of it and "
            f"OpenVINO runs {found}; answers are right and take longer"
        )
