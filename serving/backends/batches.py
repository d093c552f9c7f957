"""What the backends of engines share: requests that fit run together, and one that fails falls alone.

An engine is a function `run(feed, names)`: input name -> array and the names of the wanted outputs to output
name -> array.
"""

import sys

sys.dont_write_bytecode = True  # Triton takes a new __pycache__ for a change of the model

from collections.abc import Callable, Mapping, Sequence  # noqa: E402
from pathlib import Path  # noqa: E402

import admission  # noqa: E402
import numpy as np  # noqa: E402
import triton_python_backend_utils as pb_utils  # noqa: E402

Feed = dict[str, np.ndarray]
Run = Callable[[Feed, list[str]], Feed]


class Batches:
    """The tensors that one configuration declares, and how its requests share runs of the engine."""

    def __init__(self, config: Mapping, run: Run) -> None:
        """config: as Triton hands it over; run: the engine."""
        self.run = run
        self.backend = config["backend"]
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.outputs = [tensor["name"] for tensor in config["output"]]
        self.batched = config["max_batch_size"] > 0
        self.absent = Absent(config)
        self.teller = admission.Teller.from_config(config)

    def execute(self, requests: Sequence["pb_utils.InferenceRequest"]) -> list["pb_utils.InferenceResponse"]:
        """One run for all requests of the batch that fit together; one response each, in order."""
        feeds = [self._feed(request) for request in requests]
        wanted = [self._wanted(request) for request in requests]
        responses: list = [None] * len(requests)
        for i in [i for i, feed in enumerate(feeds) if self.absent.is_of(feed)]:
            responses[i] = self._response(self.absent.answer(rows(feeds[i])), wanted[i])
        here = [i for i, response in enumerate(responses) if response is None]
        for places in groups([feeds[i] for i in here], self.batched):
            members = [here[place] for place in places]
            answers = self._answers([feeds[i] for i in members], union([wanted[i] for i in members]))
            for i, answer in zip(members, answers, strict=True):
                responses[i] = self._response(answer, wanted[i])
        self.teller.answered(len(requests))
        return responses

    def _feed(self, request: "pb_utils.InferenceRequest") -> Feed:
        """The request's tensors as numpy views of the shared memory they came in."""
        tensors = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        return {name: tensors[name] for name in self.inputs if name in tensors}

    def _wanted(self, request: "pb_utils.InferenceRequest") -> list[str]:
        requested = set(request.requested_output_names())
        return [name for name in self.outputs if name in requested]

    def _answers(self, feeds: list[Feed], names: list[str]) -> list[Feed | Exception]:
        """Outputs of each request, or the reason why it has none."""
        try:
            outputs = self.run(concatenate(feeds), names)
            return [outputs] if len(feeds) == 1 else [*split(outputs, [rows(feed) for feed in feeds])]
        except Exception as error:  # engines raise classes of their own that share no base but Exception
            if len(feeds) == 1:
                return [error]
            return [answer for feed in feeds for answer in self._answers([feed], names)]

    def _response(self, answer: Feed | Exception, wanted: list[str]) -> "pb_utils.InferenceResponse":
        """The answer with the outputs that this request asked for, or its own error."""
        if isinstance(answer, Exception):
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"{self.backend}: {answer}"))
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, answer[name]) for name in wanted])


class Absent:
    """Requests without anything to compute: zeros, which the engine would answer too, without asking it.

    The parameter ZEROS_WITHOUT names the input, a mask, that is false for all of such a request.
    """

    def __init__(self, config: Mapping) -> None:
        self.mask = parameters_of(config).get("ZEROS_WITHOUT", "")
        self.outputs = {}
        if not self.mask:
            return
        for tensor in config["output"]:
            dims = [int(size) for size in tensor["dims"]]
            if min(dims) < 0:
                raise pb_utils.TritonModelException(
                    f"parameter ZEROS_WITHOUT: expected outputs of fixed sizes, got {tensor['name']} {dims}"
                )
            self.outputs[tensor["name"]] = dims, pb_utils.triton_string_to_numpy(tensor["data_type"])
        if self.mask not in {tensor["name"] for tensor in config["input"]}:
            raise pb_utils.TritonModelException(
                f"parameter ZEROS_WITHOUT: expected the name of an input, got {self.mask!r}"
            )

    def is_of(self, feed: Feed) -> bool:
        """Whether a request is such a one."""
        return bool(self.mask) and not feed[self.mask].any()

    def answer(self, count: int) -> Feed:
        """Zeros of so many rows."""
        return {name: np.zeros((count, *dims), dtype) for name, (dims, dtype) in self.outputs.items()}


def file_of(args: Mapping[str, str], config: Mapping) -> Path:
    """`<version>/<default_model_filename>`; an error if it is missing, or the instance is to have a GPU."""
    if args["model_instance_kind"] == "GPU":
        raise pb_utils.TritonModelException(
            f"{config['name']}: this {config['backend']} backend runs on the CPU, instance_group says "
            "KIND_GPU; say KIND_CPU (configs/cpu.pbtxt), or serve from NVIDIA's container"
        )
    filename = config.get("default_model_filename") or "model.onnx"
    path = Path(args["model_repository"]) / args["model_version"] / filename
    if not path.is_file():
        raise pb_utils.TritonModelException(f"{path} is missing; write it with `python -m export`")
    return path


def parameters_of(config: Mapping) -> dict[str, str]:
    """The configuration's parameters, which are strings."""
    return {key: value["string_value"] for key, value in config.get("parameters", {}).items()}


def integer(parameters: Mapping[str, str], name: str) -> int:
    """A whole number >= 0 out of the configuration's strings; 0 when absent."""
    text = parameters.get(name, "0")
    if not text.strip().isdecimal():
        raise pb_utils.TritonModelException(f"parameter {name}: expected a whole number >= 0, got {text!r}")
    return int(text)


def check_names(path: Path, config: Mapping, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Refuse a file whose tensors are not those of the configuration, before the first request finds out.

    inputs, outputs: what the file has
    """
    for kind, found in (("input", inputs), ("output", outputs)):
        declared = [tensor["name"] for tensor in config[kind]]
        missing = set(declared) - set(found) if kind == "output" else set(declared) ^ set(found)
        if missing:
            raise pb_utils.TritonModelException(
                f"{path}: {kind}s: the configuration says {', '.join(declared)}, "
                f"the file {', '.join(found)}; export it again"
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
