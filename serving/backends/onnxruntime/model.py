"""ONNX Runtime behind the contract of NVIDIA's backend of that name, where only the python backend exists.

The same `config.pbtxt` runs on both: `default_model_filename`, `optimization.graph.level` and the parameters
below mean what they mean there (https://github.com/triton-inference-server/onnxruntime_backend, README).
"""

import sys

sys.dont_write_bytecode = True  # Triton takes a new __pycache__ for a change of the model

import json  # noqa: E402
import os  # noqa: E402
from collections.abc import Mapping, Sequence  # noqa: E402
from pathlib import Path  # noqa: E402

import onnxruntime as ort  # noqa: E402
import triton_python_backend_utils as pb_utils  # noqa: E402

# Resolved: an installation links the folders of the backends, the module that they share lies beside them.
sys.path.append(str(Path(__file__).resolve().parents[1]))

import batches  # noqa: E402

# Spinning threads of five sessions steal two cores from each other: 340-400 ms for a four-modality request
# against 190-230 ms. NVIDIA's backend leaves it on, which is right for a machine with cores to spare.
SESSION_ENTRIES = {"session.intra_op.allow_spinning": "0", "session.inter_op.allow_spinning": "0"}
LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    0: ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}


class TritonPythonModel:
    """One instance of one model: an ONNX Runtime session and the names that its configuration declares."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load `<version>/<default_model_filename>`; an error here keeps the model from becoming ready."""
        config = json.loads(args["model_config"])
        path = batches.file_of(args, config)
        session = load(path, session_options(config))
        inputs, outputs = session.get_inputs(), session.get_outputs()
        batches.check_names(path, config, [node.name for node in inputs], [node.name for node in outputs])

        def run(feed: batches.Feed, names: list[str]) -> batches.Feed:
            return dict(zip(names, session.run(names, feed), strict=True))

        self._batches = batches.Batches(config, run)

    def execute(self, requests: Sequence["pb_utils.InferenceRequest"]) -> list["pb_utils.InferenceResponse"]:
        """One response for each request, in order."""
        return self._batches.execute(requests)


def session_options(config: Mapping) -> ort.SessionOptions:
    """Options of a session from a model configuration.

    parameters: intra_op_thread_count, inter_op_thread_count, execution_mode (0 sequential, 1 parallel),
    enable_mem_arena, enable_mem_pattern, and any `session.*` entry of ONNX Runtime by its own name.
    """
    parameters = batches.parameters_of(config)
    options = ort.SessionOptions()
    # By default every core this process may use: fewer threads double the latency of a lone request, and
    # without spinning more threads than cores cost at most 5 % of the throughput.
    cores = len(os.sched_getaffinity(0))
    options.intra_op_num_threads = batches.integer(parameters, "intra_op_thread_count") or cores
    options.inter_op_num_threads = batches.integer(parameters, "inter_op_thread_count") or 1
    if batches.integer(parameters, "execution_mode"):
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    options.enable_cpu_mem_arena = parameters.get("enable_mem_arena", "1").lower() in ("1", "true")
    options.enable_mem_pattern = parameters.get("enable_mem_pattern", "1").lower() in ("1", "true")
    level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
    if level not in LEVELS:
        raise pb_utils.TritonModelException(
            f"{config['name']}: optimization.graph.level: expected one of {sorted(LEVELS)}, got {level}"
        )
    options.graph_optimization_level = LEVELS[level]
    options.log_severity_level = 3  # errors only: they reach the caller, warnings about folding reach nobody
    entries = {key: value for key, value in parameters.items() if key.startswith("session.")}
    for key, value in (SESSION_ENTRIES | entries).items():
        options.add_session_config_entry(key, value)
    return options


def load(path: Path, options: ort.SessionOptions) -> ort.InferenceSession:
    """A CPU session of the ONNX file, or an error that names the file."""
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises classes of its own that share no base but Exception
        raise pb_utils.TritonModelException(
            f"{path}: ONNX Runtime {ort.__version__} cannot load it ({path.stat().st_size} bytes): {error}"
        ) from error
