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

import numpy as np  # noqa: E402
import onnxruntime as ort  # noqa: E402
import triton_python_backend_utils as pb_utils  # noqa: E402

# Spinning threads of five sessions steal two cores from each other: 340-400 ms for a four-modality request
# against 190-230 ms. NVIDIA's backend leaves it on, which is right for a machine with cores to spare.
SESSION_ENTRIES = {"session.intra_op.allow_spinning": "0", "session.inter_op.allow_spinning": "0"}
LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    0: ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
Feed = dict[str, np.ndarray]


class TritonPythonModel:
    """One instance of one model: an ONNX Runtime session and the names that its configuration declares."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load `<version>/<default_model_filename>`; an error here keeps the model from becoming ready."""
        config = json.loads(args["model_config"])
        if args["model_instance_kind"] == "GPU":
            raise pb_utils.TritonModelException(
                f"{config['name']}: this onnxruntime backend runs on the CPU, instance_group says KIND_GPU; "
                "say KIND_CPU (configs/cpu.pbtxt), or serve from NVIDIA's container"
            )
        filename = config.get("default_model_filename") or "model.onnx"
        path = Path(args["model_repository"]) / args["model_version"] / filename
        self._session = load(path, session_options(config))
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._outputs = [tensor["name"] for tensor in config["output"]]
        self._batched = config["max_batch_size"] > 0
        check_names(path, self._session, self._inputs, self._outputs)

    def execute(self, requests: Sequence["pb_utils.InferenceRequest"]) -> list["pb_utils.InferenceResponse"]:
        """One session run for all requests of the batch that fit together; one response each, in order."""
        feeds = [self._feed(request) for request in requests]
        wanted = [self._wanted(request) for request in requests]
        responses: list = [None] * len(requests)
        for members in groups(feeds, self._batched):
            answers = self._run([feeds[i] for i in members], union([wanted[i] for i in members]))
            for i, answer in zip(members, answers, strict=True):
                responses[i] = response(answer, wanted[i])
        return responses

    def _feed(self, request: "pb_utils.InferenceRequest") -> Feed:
        """The request's tensors as numpy views of the shared memory they came in."""
        tensors = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        return {name: tensors[name] for name in self._inputs if name in tensors}

    def _wanted(self, request: "pb_utils.InferenceRequest") -> list[str]:
        requested = set(request.requested_output_names())
        return [name for name in self._outputs if name in requested]

    def _run(self, feeds: list[Feed], names: list[str]) -> list[Feed | Exception]:
        """Outputs of each request, or the reason why it has none."""
        try:
            outputs = self._session.run(names, concatenate(feeds))
            if len(feeds) == 1:
                return [dict(zip(names, outputs, strict=True))]
            return split(dict(zip(names, outputs, strict=True)), [rows(feed) for feed in feeds])
        except Exception as error:  # ONNX Runtime raises classes of its own that share no base but Exception
            if len(feeds) == 1:
                return [error]
            return [answer for feed in feeds for answer in self._run([feed], names)]


def session_options(config: Mapping) -> ort.SessionOptions:
    """Options of a session from a model configuration.

    parameters: intra_op_thread_count, inter_op_thread_count, execution_mode (0 sequential, 1 parallel),
    enable_mem_arena, enable_mem_pattern, and any `session.*` entry of ONNX Runtime by its own name.
    """
    parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
    options = ort.SessionOptions()
    # By default every core this process may use: fewer threads double the latency of a lone request, and
    # without spinning more threads than cores cost at most 5 % of the throughput.
    cores = len(os.sched_getaffinity(0))
    options.intra_op_num_threads = integer(parameters, "intra_op_thread_count") or cores
    options.inter_op_num_threads = integer(parameters, "inter_op_thread_count") or 1
    if integer(parameters, "execution_mode"):
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


def integer(parameters: Mapping[str, str], name: str) -> int:
    """A whole number >= 0 out of the configuration's strings; 0 when absent."""
    text = parameters.get(name, "0")
    if not text.strip().isdecimal():
        raise pb_utils.TritonModelException(f"parameter {name}: expected a whole number >= 0, got {text!r}")
    return int(text)


def load(path: Path, options: ort.SessionOptions) -> ort.InferenceSession:
    """A CPU session of the ONNX file, or an error that names the file."""
    if not path.is_file():
        raise pb_utils.TritonModelException(f"{path} is missing; write it with `python -m export`")
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises classes of its own that share no base but Exception
        raise pb_utils.TritonModelException(
            f"{path}: ONNX Runtime {ort.__version__} cannot load it ({path.stat().st_size} bytes): {error}"
        ) from error


def check_names(path: Path, session: ort.InferenceSession, inputs: list[str], outputs: list[str]) -> None:
    """Refuse a file whose tensors are not those of the configuration, before the first request finds out."""
    for kind, declared, found in (
        ("inputs", inputs, [node.name for node in session.get_inputs()]),
        ("outputs", outputs, [node.name for node in session.get_outputs()]),
    ):
        missing = set(declared) - set(found) if kind == "outputs" else set(declared) ^ set(found)
        if missing:
            raise pb_utils.TritonModelException(
                f"{path}: {kind}: the configuration says {', '.join(declared)}, the file {', '.join(found)}; "
                "export it again"
            )


def groups(feeds: Sequence[Feed], batched: bool) -> list[list[int]]:
    """Positions of the requests that can run together: same inputs, same shapes behind the batch axis."""
    if not batched:
        return [[i] for i in range(len(feeds))]
    found: dict[tuple, list[int]] = {}
    for i, feed in enumerate(feeds):
        key = tuple((name, array.dtype.str, array.shape[1:]) for name, array in feed.items())
        found.setdefault(key, []).append(i)
    return list(found.values())


def rows(feed: Feed) -> int:
    """Rows of one request, the first axis of any of its inputs."""
    return len(next(iter(feed.values())))


def concatenate(feeds: Sequence[Feed]) -> Feed:
    """(rows, ...) of several requests -> (sum of rows, ...); one request alone is not copied."""
    if len(feeds) == 1:
        return feeds[0]
    return {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}


def split(outputs: Feed, counts: Sequence[int]) -> list[Feed]:
    """(sum of rows, ...) -> (rows, ...) of each request, as views."""
    total = sum(counts)
    for name, array in outputs.items():
        if array.ndim == 0 or len(array) != total:
            raise ValueError(f"output {name}: expected {total} rows, as many as went in, got {array.shape}")
    ends = np.cumsum(counts)
    return [
        {name: array[end - count : end] for name, array in outputs.items()}
        for count, end in zip(counts, ends, strict=True)
    ]


def union(lists: Sequence[list[str]]) -> list[str]:
    """Every name once, in the order of first sight: what one run has to compute for all its requests."""
    return list(dict.fromkeys(name for names in lists for name in names))


def response(answer: Feed | Exception, wanted: list[str]) -> "pb_utils.InferenceResponse":
    """The answer with the outputs that this request asked for, or its own error."""
    if isinstance(answer, Exception):
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"onnxruntime: {answer}"))
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, answer[name]) for name in wanted])
