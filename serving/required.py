"""What must lie in the model repository before a server can load a pipeline."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from export import contract
from export.pipelines import PRESETS
from serving.releases.record import Release
from serving.releases.store import Store

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

# The file each engine loads from a version folder when the configuration does not name another.
DEFAULT_FILES = {
    "onnxruntime": "model.onnx",
    "openvino": "model.xml",
    "tensorrt": "model.plan",
    "dali": "dali.py",
    "tokenizer": "tokenizer.json",
    "generator": "answer_decoder.onnx",
}
# What an engine loads beside that file, under names of its own.
COMPANIONS = {
    "generator": (
        "caption_decoder.onnx",
        "reader_encoder.onnx",
        "reader_decoder.onnx",
        "tokenizer.json",
        "generation.json",
    )
}
EXPORTED = (".onnx", ".plan", ".json")  # written by `python -m export`; everything else is in git


def models_of(repository: Path, pipelines: Iterable[str], target: str = "cpu") -> list[str]:
    """The pipelines and every model that they are made of, each once, in the order of the steps.

    errors: ValueError for a model that the repository does not have or a configuration that does not parse
    """
    found: dict[str, None] = {}
    pending = list(pipelines)
    while pending:
        name = pending.pop(0)
        if name not in found:
            found[name] = None
            pending += [
                step.model_name for step in configuration(repository, name, target).ensemble_scheduling.step
            ]
    return list(found)


def precision_of(repository: Path, pipeline: str, target: str = "cpu") -> str:
    """The lowest precision that the configurations of a pipeline's models ask for.

    A processor without bf16 runs fp32 instead; a GPU's precision is in its plans, of which none of them says.
    """
    for name in models_of(repository, [pipeline], target):
        parameters = configuration(repository, name, target).parameters
        if "HINT_BF16" in parameters and parameters["HINT_BF16"].string_value == "YES":
            return "bf16"
    return "fp32"


def missing_files(repository: Path, pipelines: Iterable[str], target: str = "cpu") -> list[str]:
    """One sentence per file that a server would look for and not find; empty when the pipelines can load.

    Of a pipeline that has releases the versions of the active one count, of others those that the
    configuration of each model selects. errors: ValueError when the record of the releases is not readable
    """
    sentences: dict[str, None] = {}  # two pipelines may share a model: said once
    records = Store(repository).read_all()
    for pipeline in pipelines:
        record = records.get(pipeline)
        active = record.release(record.active) if record else None
        for name in models_of(repository, [pipeline], target):
            sentences |= dict.fromkeys(_missing(repository, name, target, pipeline, active))
    return list(sentences)


def never_exported(repository: Path, pipeline: str, target: str = "cpu") -> str:
    """The sentence about a pipeline that has several engines, none of them there; empty for any other.

    One that lacks some of its engines, or that has releases, was served before: what it lacks is a fault.
    """
    if pipeline in Store(repository).read_all():
        return ""
    presets: dict[str, None] = {}
    engines = 0
    for name in models_of(repository, [pipeline], target):
        config = configuration(repository, name, target)
        filename = default_file(config)
        if not filename.endswith(EXPORTED):
            continue
        if any((repository / name).glob(f"*/{filename}")):
            return ""
        engines += 1
        presets[_preset_of(name)] = None
    if engines < 2:
        return ""
    commands = " and ".join(f"`python -m export {preset}`" for preset in presets)
    return f"{pipeline} is not exported yet; run {commands}"


def default_file(config: ModelConfig) -> str:
    """The file that a server loads from a version folder; empty where the folder is all."""
    return str(config.default_model_filename or DEFAULT_FILES.get(_engine(config), ""))


def version_files(config: ModelConfig) -> tuple[str, ...]:
    """Every file that a server loads from a version folder; one empty name where the folder is all."""
    return default_file(config), *COMPANIONS.get(_engine(config), ())


def _engine(config: ModelConfig) -> str:
    return str(config.backend or config.platform.split("_")[0])


def _missing(
    repository: Path, name: str, target: str, pipeline: str, active: Release | None
) -> Iterator[str]:
    config = configuration(repository, name, target)
    folder = repository / name
    released = active is not None and name in active.versions
    versions = [str(active.versions[name])] if active and released else served_versions(folder, config)
    if not versions:
        yield f"{name}: expected a version folder such as {name}/1, found none; create it"
    wanted_files = [folder / version / filename for version in versions for filename in version_files(config)]
    yield from _missing_warm_up(folder, config)
    for wanted in wanted_files:
        if not wanted.exists():
            path = wanted.relative_to(repository)
            if active and released:
                yield (
                    f"{path} is missing, and release {active.number} of {pipeline} is live with it; put it "
                    f"back, or move {Store(repository).path.name} away to serve the newest version folders"
                )
            else:
                yield f"{path} is missing; {remedy(name, wanted.name)}"


def _missing_warm_up(folder: Path, config: ModelConfig) -> Iterator[str]:
    """Triton refuses a model whose warm-up names a file that is not there."""
    for path, size in warm_up_files(folder, config).items():
        got = path.stat().st_size if path.is_file() else None
        if got != size:
            yield (
                f"{path.relative_to(folder.parent)}: expected {size} bytes for the warm-up, "
                f"got {'no file' if got is None else got}; run `python -m serving warm-up`"
            )


def warm_up_files(folder: Path, config: ModelConfig) -> dict[Path, int]:
    """The files that a model's warm-up reads, and how many bytes each must have: one row of one input."""
    from tritonclient.grpc.model_config_pb2 import DataType

    rows = {}
    for request in config.model_warmup:
        for one in request.inputs.values():
            if one.input_data_file:
                dtype = contract.Tensor("", DataType.Name(one.data_type).removeprefix("TYPE_"), ()).numpy
                rows[folder / "warmup" / one.input_data_file] = math.prod(one.dims) * dtype.itemsize
    return rows


def configuration(repository: Path, name: str, target: str = "cpu") -> ModelConfig:
    """What the server of `target` reads about a model, parsed; ValueError when it cannot be."""
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2  # here: a tenth of a second that `--help` need not pay

    path = configuration_file(repository, name, target)
    try:
        return text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        raise ValueError(f"{path}: expected a Triton model configuration, got: {error}") from error


def configuration_file(repository: Path, name: str, target: str = "cpu") -> Path:
    """`configs/<target>.pbtxt` if there is one, else `config.pbtxt`; ValueError that says what was meant."""
    candidates = [repository / name / "configs" / f"{target}.pbtxt", repository / name / "config.pbtxt"]
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        known = sorted(path.parent.name for path in repository.glob("*/config.pbtxt"))
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(known) or 'no models'}"
        raise ValueError(f"{name}: expected a model of {repository}, found none of that name; {hint}")
    return path


def served_versions(folder: Path, config: ModelConfig) -> list[str]:
    """Version folders that the configuration's policy selects, ascending; the newest alone by default."""
    present = sorted(
        (path.name for path in folder.iterdir() if path.is_dir() and path.name.isdecimal()), key=int
    )
    policy = config.version_policy
    if policy.WhichOneof("policy_choice") == "all":
        return present
    if policy.WhichOneof("policy_choice") == "specific":
        return [str(version) for version in policy.specific.versions]
    return present[-(policy.latest.num_versions or 1) :]


def remedy(name: str, filename: str) -> str:
    """What to type to get a missing file."""
    if filename.endswith(EXPORTED):
        return f"run `python -m export {_preset_of(name)}`"
    return f"run `git checkout -- model_repository/{name}`"


def _preset_of(model: str) -> str:
    return next((preset for preset in PRESETS if model.startswith(f"{preset}_")), "<preset>")
