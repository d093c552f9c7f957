"""What TensorRT engines are warmed up with: the tensors that a real request brings to each of them.

`config.pbtxt` names a file per input in the model's `warmup/` folder. A recording is sent through the steps
of the pipeline, decoders as they are, engines in ONNX Runtime on the CPU, and what arrives at an engine is
kept: random numbers would take other paths through masks and experts than a request does.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from export import contract
from serving import whole_files
from serving.required import configuration, warm_up_files

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

EXAMPLE = Path(__file__).resolve().parents[1] / "deploy" / "example"
WORDS = b"is there a crack in the weld?"
GRAPHS = ("dense.onnx", "model.onnx")  # of an engine, the first that is there
Tensors = dict[str, np.ndarray]  # by name, without batch


def write(repository: Path, pipelines: Iterable[str], example: Path = EXAMPLE) -> list[Path]:
    """Write the warm-up files that these pipelines lack or that have another size; returns what was written.

    errors: RuntimeError where an engine that others are fed from has no graph
    """
    written: list[Path] = []
    for pipeline in pipelines:
        steps = [step.model for step in contract.load(repository, pipeline, "gpu").steps]
        wanted = [model for model in steps if _incomplete(repository, model)]
        if wanted:
            written += _record(repository, steps, wanted, request(example))
    return written


def request(example: Path = EXAMPLE) -> Tensors:
    """One recording as every payload that some pipeline takes."""
    payloads = {
        "video": (example / "weld.avi").read_bytes(),
        "image": (example / "weld.jpg").read_bytes(),
        "audio": (example / "weld.flac").read_bytes(),
        "sensor": (example / "weld.csv").read_bytes(),
        "text": WORDS,
        "question": WORDS,
    }
    arrays: Tensors = {name: np.frombuffer(data, np.uint8) for name, data in payloads.items()}
    return arrays | {"image_sizes": np.asarray([arrays["image"].size], np.int64)}


def _incomplete(repository: Path, model: str) -> bool:
    files = warm_up_files(repository / model, configuration(repository, model, "gpu"))
    return any(not path.is_file() or path.stat().st_size != size for path, size in files.items())


def _record(repository: Path, steps: list[str], wanted: list[str], sent: Tensors) -> list[Path]:
    """Walk through the steps up to the last wanted one; tensors keep their names from step to step."""
    known, written = dict(sent), []
    for position, model in enumerate(steps):
        config = configuration(repository, model, "gpu")
        promised = contract.load(repository, model, "gpu")
        if model in wanted:
            for path in warm_up_files(repository / model, config):
                row = known[path.name].astype(promised.input(path.name).numpy)
                whole_files.write(path, np.ascontiguousarray(row).tobytes())
                written.append(path)
        later = [name for name in wanted if name in steps[position + 1 :]]
        if not later:
            break
        read = {one.name for name in later for one in contract.load(repository, name, "gpu").inputs}
        if read & {one.name for one in promised.outputs} or promised.engine == "gate":
            known |= _run(repository / model, config, promised, known)
    return written


def _run(folder: Path, config: ModelConfig, promised: contract.Contract, known: Tensors) -> Tensors:
    """What a step answers, without batch."""
    if promised.engine == "gate":
        (present,) = promised.outputs
        return {present.name: np.ones(present.dims, bool)}
    feed = {one.name: known[one.name] for one in promised.inputs}
    if promised.engine in ("dali", "tokenizer"):
        return _python_step(folder, config, promised.engine, feed)
    return _engine_step(folder, promised, feed)


def _python_step(folder: Path, config: ModelConfig, engine: str, feed: Tensors) -> Tensors:
    said = as_backends_see_it(config)
    present = feed.pop("present")[None]
    if engine == "tokenizer":
        texts = importlib.import_module("serving.backends.tokenizer.texts")
        words = texts.Contract.from_config(said)
        tokenizer = texts.load(_newest(folder, config.default_model_filename), words.length)
        return texts.Reader(words, tokenizer)([feed[words.modality]], present)[0]
    decoding = importlib.import_module("serving.backends.dali.preprocess")
    recordings = decoding.Contract.from_config(said)
    pipelines = decoding.serialised.pipelines_of(_newest(folder, "dali.py"))
    preprocess = decoding.Preprocessor(recordings, pipelines)
    try:
        return preprocess([feed], present)[0]
    finally:
        preprocess.close()


def _engine_step(folder: Path, promised: contract.Contract, feed: Tensors) -> Tensors:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(_newest(folder, *GRAPHS)), providers=["CPUExecutionProvider"])
    names = [one.name for one in promised.outputs]
    batch: Mapping[str, np.ndarray] = {
        one.name: feed[one.name].astype(one.numpy)[None] for one in promised.inputs
    }
    return {name: value[0] for name, value in zip(names, session.run(names, batch), strict=True)}


def _newest(folder: Path, *names: str) -> Path:
    """The first of these files that a version folder has, the newest version first; RuntimeError for none."""
    versions = sorted(
        (path for path in folder.iterdir() if path.name.isdecimal()), key=lambda p: -int(p.name)
    )
    for version in versions:
        for name in names:
            if (version / name).is_file():
                return version / name
    raise RuntimeError(
        f"{folder.name}: expected {' or '.join(names)} in a version folder, found none; export the preset"
    )


def as_backends_see_it(config: ModelConfig) -> dict[str, Any]:
    """The JSON form of a configuration, as Triton hands it to a python-based backend."""
    from google.protobuf import json_format

    return json_format.MessageToDict(config, preserving_proto_field_name=True)
