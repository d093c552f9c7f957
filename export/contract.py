"""What one `config.pbtxt` promises: the only statement of tensor names, dtypes, shapes and batch size.

Parsed with tritonclient's own protobuf, so a field that Triton would refuse is refused here too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from tritonclient.grpc import model_config_pb2

TARGETS = ("cpu", "gpu")

# Triton's name -> (numpy's name, which torch shares; number in onnx.TensorProto.DataType)
_DTYPES: dict[str, tuple[str, int]] = {
    "BOOL": ("bool", 9),
    "UINT8": ("uint8", 2),
    "INT8": ("int8", 3),
    "INT16": ("int16", 5),
    "INT32": ("int32", 6),
    "INT64": ("int64", 7),
    "FP16": ("float16", 10),
    "FP32": ("float32", 1),
    "FP64": ("float64", 11),
    "STRING": ("object", 8),
}


@dataclass(frozen=True)
class Tensor:
    """One input or output: Triton dtype without `TYPE_`, dims without the batch axis (-1 is any length)."""

    name: str
    dtype: str
    dims: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.dtype not in _DTYPES:
            raise ValueError(f"{self.name}: expected a dtype of {', '.join(_DTYPES)}, got {self.dtype}")

    @property
    def numpy(self) -> np.dtype:
        """The numpy dtype."""
        return np.dtype(_DTYPES[self.dtype][0])

    @property
    def onnx(self) -> int:
        """The number of the dtype in `onnx.TensorProto.DataType`."""
        return _DTYPES[self.dtype][1]

    @property
    def torch(self) -> torch.dtype:
        """The torch dtype; ValueError for texts, which have none."""
        import torch  # here: a run that finds everything exported must not pay for importing torch

        if self.dtype == "STRING":
            raise ValueError(f"{self}: expected numbers, got texts, which no network computes")
        return getattr(torch, _DTYPES[self.dtype][0])

    def __str__(self) -> str:
        return f"{self.name} {self.dtype}[{', '.join(map(str, self.dims))}]"


@dataclass(frozen=True)
class Step:
    """One step of an ensemble; both maps go from the model's tensor to the ensemble's."""

    model: str
    version: int
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class Contract:
    """One model's configuration, as far as anybody outside it depends on it.

    profiles: names of the optimisation profiles that its instances use, in order; preferred: batch sizes
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    max_batch: int
    engine: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    profiles: tuple[str, ...] = ()
    preferred: tuple[int, ...] = ()

    def input(self, name: str) -> Tensor:
        """The input called `name`; LookupError with the names there are."""
        return _named(self.inputs, name, f"{self.name}: input")

    def output(self, name: str) -> Tensor:
        """The output called `name`; LookupError with the names there are."""
        return _named(self.outputs, name, f"{self.name}: output")

    @property
    def interface(self) -> tuple[object, ...]:
        """What must be equal between the targets and between versions: tensors and batch, not the engine."""
        return (self.name, self.inputs, self.outputs, self.max_batch)

    @property
    def digest(self) -> str:
        """sha256 of the interface, 64 hex digits."""
        tensors = [[[t.name, t.dtype, list(t.dims)] for t in side] for side in (self.inputs, self.outputs)]
        text = json.dumps([self.name, self.max_batch, *tensors])
        return hashlib.sha256(text.encode()).hexdigest()


def _named(tensors: tuple[Tensor, ...], name: str, what: str) -> Tensor:
    for tensor in tensors:
        if tensor.name == name:
            return tensor
    raise LookupError(f"{what}: expected one of {', '.join(t.name for t in tensors)}, got {name}")


def load(repository: Path, model: str, target: str = "cpu") -> Contract:
    """Read a model's configuration as the server of `target` would.

    gpu: `config.pbtxt`; cpu: `configs/cpu.pbtxt` if there is one (the rule of `--model-config-name=cpu`).
    FileNotFoundError when neither exists; ValueError when the text does not parse or names another model.
    """
    if target not in TARGETS:
        raise ValueError(f"target: expected one of {', '.join(TARGETS)}, got {target}")
    folder = Path(repository) / model
    candidates = [folder / "config.pbtxt"]
    if target == "cpu":
        candidates.insert(0, folder / "configs" / "cpu.pbtxt")
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"{model}: expected {candidates[-1]}, found none; check the name and --repository"
        )
    contract = parse(path.read_text(), source=str(path))
    if contract.name != model:
        raise ValueError(f'{path}: expected name: "{model}" like its folder, got "{contract.name}"')
    return contract


def parse(text: str, source: str = "config.pbtxt") -> Contract:
    """Parse the text of one configuration; `source` names it in errors."""
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2  # here: gRPC comes with it, which no `--help` need pay

    try:
        config = text_format.Parse(text, model_config_pb2.ModelConfig())
        return Contract(
            name=config.name,
            inputs=tuple(map(_tensor, config.input)),
            outputs=tuple(map(_tensor, config.output)),
            max_batch=config.max_batch_size,
            engine=config.backend or config.platform,
            parameters={key: value.string_value for key, value in sorted(config.parameters.items())},
            steps=tuple(map(_step, config.ensemble_scheduling.step)),
            profiles=_profiles(config),
            preferred=tuple(sorted(config.dynamic_batching.preferred_batch_size)),
        )
    except (text_format.ParseError, ValueError) as error:
        raise ValueError(f"{source}: expected a Triton model configuration, got: {error}") from error


def _tensor(entry: model_config_pb2.ModelInput | model_config_pb2.ModelOutput) -> Tensor:
    from tritonclient.grpc.model_config_pb2 import DataType

    dtype = DataType.Name(entry.data_type).removeprefix("TYPE_")
    return Tensor(entry.name, dtype, tuple(entry.dims))


def _profiles(config: model_config_pb2.ModelConfig) -> tuple[str, ...]:
    """Names of all instances' profiles, each once."""
    return tuple(dict.fromkeys(name for group in config.instance_group for name in group.profile))


def _step(entry: model_config_pb2.ModelEnsembling.Step) -> Step:
    return Step(entry.model_name, entry.model_version, dict(entry.input_map), dict(entry.output_map))
