"""What every model configuration is made of, and its text: one pbtxt per model and target.

Configurations of a pipeline's models differ in names, sizes and a few lines per target. What the pipelines
share stands here, so that a new pipeline is one more description beside `weld_models`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

MAX_BATCH = 8  # rows of one execution; larger batches gained under 5 % on two cores and cost latency
TARGETS = {"gpu": "config.pbtxt", "cpu": "configs/cpu.pbtxt"}


@dataclass(frozen=True)
class Tensor:
    """One input or output: Triton data type without its prefix, dims without the batch axis."""

    name: str
    dtype: str
    dims: tuple[int, ...]

    def render(self, ragged: bool = False) -> str:
        """One entry of an input or output list; ragged: requests of different lengths share a batch."""
        dims = ", ".join(map(str, self.dims))
        suffix = "  allow_ragged_batch: true" if ragged and -1 in self.dims else ""
        return f'{{ name: "{self.name}"  data_type: TYPE_{self.dtype}  dims: [ {dims} ]{suffix} }}'


@dataclass(frozen=True)
class Model:
    """One entry of the model repository; `sections` maps a target to the text that differs there."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    sections: Mapping[str, str]
    purpose: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    ensemble: bool = False

    def __post_init__(self) -> None:
        if set(self.sections) != set(TARGETS):
            raise ValueError(
                f"{self.name}: expected a section for {', '.join(TARGETS)}, got {', '.join(self.sections)}"
            )


def gate_section(waiting: int, reason: str) -> str:
    """Backend, instances and queue limit of a gate; reason: why so many may wait, as a comment line."""
    return f"""\
backend: "gate"
instance_group [ {{ count: 1  kind: KIND_CPU }} ]
# The only queue limit of the pipeline: in 2.51 a limit on a later step crashes the server or hangs requests.
# {reason}
dynamic_batching {{ default_queue_policy {{ max_queue_size: {waiting} }} }}
"""


PREPROCESS_SECTION = {
    "gpu": """\
backend: "dali"
instance_group [ { count: 1  kind: KIND_GPU } ]
# Decoding leaves the GPU idle between batches: wait as long as the encoders do, so that batches stay whole.
dynamic_batching { max_queue_delay_microseconds: 2000 }
""",
    "cpu": """\
backend: "dali"
instance_group [ { count: 1  kind: KIND_CPU } ]
# No delay: with two cores a waiting batch fills by itself while the one before it is computed.
dynamic_batching { }
""",
}

TOKENIZER_SECTION = """\
backend: "tokenizer"
default_model_filename: "tokenizer.json"
instance_group [ { count: 1  kind: KIND_CPU } ]
# No delay, beside a GPU neither: a text takes 0.02 ms, and the encoder behind it gathers batches by itself.
dynamic_batching { }
"""

ENGINE_SECTION = {
    "gpu": """\
platform: "tensorrt_plan"
instance_group [ { count: 1  kind: KIND_GPU  profile: [ "0" ] } ]  # named: else only 0 is ever used
dynamic_batching { preferred_batch_size: [ 4, 8 ]  max_queue_delay_microseconds: 2000 }
optimization {
  input_pinned_memory { enable: true }
  output_pinned_memory { enable: true }
  cuda { graphs: true  busy_wait_events: true  output_copy_stream: true }
}
""",
    "cpu": """\
backend: "onnxruntime"
default_model_filename: "model.onnx"
instance_group [ { count: 1  kind: KIND_CPU } ]
dynamic_batching { }
""",
}


def ensemble_section(models: Iterable[Model]) -> str:
    """The steps of an ensemble whose tensors keep their names from one model to the next."""
    lines = ['platform: "ensemble"', "ensemble_scheduling {"]
    for model in models:
        lines.append(f'  step [ {{ model_name: "{model.name}"  model_version: -1')
        lines += [f'    input_map {{ key: "{t.name}" value: "{t.name}" }}' for t in model.inputs]
        lines += [f'    output_map {{ key: "{t.name}" value: "{t.name}" }}' for t in model.outputs]
        lines.append("  } ]")
    return "\n".join([*lines, "}", ""])


def render(model: Model, target: str) -> str:
    """The text of one configuration file."""
    ragged = not model.ensemble
    lines = [
        f"# {model.purpose}",
        "# Written by `python -m model_repository.describe`; change the description, not this file.",
        f'name: "{model.name}"',
        f"max_batch_size: {MAX_BATCH}",
        "input [",
        ",\n".join("  " + tensor.render(ragged) for tensor in model.inputs),
        "]",
        "output [",
        ",\n".join("  " + tensor.render() for tensor in model.outputs),
        "]",
        *(
            f'parameters {{ key: "{key}"  value {{ string_value: "{value}" }} }}'
            for key, value in model.parameters.items()
        ),
    ]
    return "\n".join(lines) + "\n" + model.sections[target]


def files(described: Iterable[Model]) -> dict[str, str]:
    """Relative path -> text of every configuration file."""
    return {
        f"{model.name}/{path}": render(model, target)
        for model in described
        for target, path in TARGETS.items()
    }
