"""A served pipeline without its server: the same steps, code and engines, called one after another here.

The ensemble's configuration says what feeds what; each step is what its backend does with a batch, without
the process, the shared memory and the queue between them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.json_format import MessageToDict

from export import contract
from export.cpu_engines import configured, runtime
from serving.required import configuration, default_file, served_versions

Arrays = dict[str, np.ndarray]
Rows = list[Arrays]  # per request, tensor name -> (1, ...) as Triton hands it on
Step = Callable[[Rows], Rows]


class InProcess:
    """The steps of one pipeline, loaded; not for several threads at once.

    threads: of each engine; errors: LookupError for a step whose backend has no entry in STEPS
    """

    def __init__(self, repository: Path, pipeline: str, threads: int) -> None:
        ensemble = configuration(repository, pipeline)
        self.steps = [
            (
                step.model_name,
                load(repository, step.model_name, threads),
                dict(step.input_map),
                dict(step.output_map),
            )
            for step in ensemble.ensemble_scheduling.step
        ]
        self.outputs = tuple(output.name for output in ensemble.output)

    def tensors(self, requests: Rows, only: Sequence[str] | None = None) -> Rows:
        """Every tensor of every request, those between the steps included; only: models that are run."""
        values = [dict(request) for request in requests]
        for model, step, inputs, outputs in self.steps:
            if only is not None and model not in only:
                continue
            found = step([{name: value[source] for name, source in inputs.items()} for value in values])
            for value, made in zip(values, found, strict=True):
                value.update({target: made[name] for name, target in outputs.items()})
        return values

    def __call__(self, requests: Rows) -> Rows:
        """The answers to one batch of requests."""
        return [{name: value[name] for name in self.outputs} for value in self.tensors(requests)]


def load(repository: Path, model: str, threads: int) -> Step:
    """One step as its configuration has it."""
    config = configuration(repository, model)
    backend = config.backend or config.platform
    if backend not in STEPS:
        raise LookupError(
            f"{model}: expected a backend of {', '.join(STEPS)}, got {backend}: there is no floor yet"
        )
    folder = repository / model
    version = served_versions(folder, config)[-1]
    return STEPS[backend](config, folder / version / default_file(config), threads)


def _gate(config: Any, file: Path, threads: int) -> Step:
    from serving.backends.gate.payloads import Limits, presence

    limits = Limits.from_parameters({key: value.string_value for key, value in config.parameters.items()})
    output = config.output[0].name
    return lambda rows: [{output: presence(row, limits)} for row in rows]


def _dali(config: Any, file: Path, threads: int) -> Step:
    from serving.backends.dali.contract import Contract
    from serving.backends.dali.preprocess import Preprocessor

    spec = importlib.util.spec_from_file_location(f"pipelines_of_{config.name}", file)
    assert spec is not None and spec.loader is not None
    pipelines = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pipelines)
    preprocessor = Preprocessor(Contract.from_config(_as_dict(config)), pipelines)
    return _per_payload(preprocessor)


def _tokenizer(config: Any, file: Path, threads: int) -> Step:
    from serving.backends.tokenizer.texts import Contract, Reader
    from serving.backends.tokenizer.texts import load as load_tokenizer

    contract = Contract.from_config(_as_dict(config))
    reader = Reader(contract, load_tokenizer(file, contract.length))
    name = contract.modality
    return _per_payload(lambda payloads, present: reader([one[name] for one in payloads], present))


def _per_payload(read: Callable[[list[Arrays], np.ndarray], Sequence[Mapping[str, Any]]]) -> Step:
    """What decodes payloads: flat bytes and the whole batch's mask in, tensors without batch axis out."""

    def step(rows: Rows) -> Rows:
        present = np.concatenate([row["present"] for row in rows])
        payloads = [
            {name: value.reshape(-1) for name, value in row.items() if name != "present"} for row in rows
        ]
        return [{name: value[None] for name, value in one.items()} for one in read(payloads, present)]

    return step


def _engine(config: Any, file: Path, threads: int) -> Step:
    """ONNX Runtime or OpenVINO, in the precision that this processor serves it in."""
    engine, precision = configured(contract.load(file.parents[2], config.name))
    run = runtime(file, engine, precision, threads)

    def step(rows: Rows) -> Rows:
        found = run({name: np.concatenate([row[name] for row in rows]) for name in rows[0]})
        return [
            {name: value[index : index + 1] for name, value in found.items()} for index in range(len(rows))
        ]

    return step


# Backend -> what it does with a batch.
STEPS: dict[str, Callable[[Any, Path, int], Step]] = {
    "gate": _gate,
    "dali": _dali,
    "tokenizer": _tokenizer,
    "onnxruntime": _engine,
    "openvino": _engine,
}


def _as_dict(config: Any) -> dict[str, Any]:
    """A configuration as Triton hands it to a backend."""
    return dict(MessageToDict(config, preserving_proto_field_name=True))


def requests_of(messages: Sequence[bytes]) -> Rows:
    """The tensors of serialized requests, as the first step of a server gets them."""
    from tritonclient.grpc import service_pb2
    from tritonclient.utils import triton_to_np_dtype

    found = []
    for message in messages:
        request = service_pb2.ModelInferRequest.FromString(message)
        found.append(
            {
                one.name: np.frombuffer(raw, triton_to_np_dtype(one.datatype)).reshape(tuple(one.shape))
                for one, raw in zip(request.inputs, request.raw_input_contents, strict=True)
            }
        )
    return found
