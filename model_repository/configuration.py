"""What every model configuration is made of, and its text: one pbtxt per model and target.

Configurations of a pipeline's models differ in names, sizes and a few lines per target. What the pipelines
share stands here, so that a new pipeline is one more description beside `weld_models`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

MAX_BATCH = 8  # rows of one execution; larger batches gained under 5 % on two cores and cost latency
TARGETS = {"gpu": "config.pbtxt", "cpu": "configs/cpu.pbtxt"}
TENSORRT = 'platform: "tensorrt_plan"'
WARM_UP_ROWS = {
    "one": 1,
    "full": MAX_BATCH,
}  # by name of the request, the rows that each profile is tuned for


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


def parameter(key: str, value: str) -> str:
    """One parameter of a model, as a line."""
    return f'parameters {{ key: "{key}"  value {{ string_value: "{value}" }} }}\n'


def gate_section(under_way: int, reason: str) -> str:
    """Backend, instances and limit of a gate; reason: why so many may be under way, as a comment line."""
    return f"""\
backend: "gate"
instance_group [ {{ count: 1  kind: KIND_CPU }} ]
# Counted by the gate itself. Triton's queue limit (max_queue_size) turns off looking ahead: models then wait
# half a second between batches while nothing new arrives; on a later step it crashes 2.51 or hangs requests.
# {reason}
{parameter("max_under_way", str(under_way))}dynamic_batching {{ }}
"""


PREPROCESS_SECTION = {
    "gpu": """\
backend: "dali"
instance_group [ { count: 1  kind: KIND_GPU } ]
# Files are read on the CPU: their headers first, and decoders take them there for the GPU too. Pixels leave
# where they were decoded.
parameters { key: "FORCE_CPU_ONLY_INPUT_TENSORS"  value { string_value: "yes" } }
# By reasoning, not measured: the one wait of a request that pays. Decoders work faster on eight files than on
# one eight times, and what leaves here together stays together.
dynamic_batching { preferred_batch_size: [ 8 ]  max_queue_delay_microseconds: 2000 }
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

# Of the GPU no figure is measured yet: each says what it was reasoned from, `make gpu-check` measures.
TENSORRT_SECTION = """\
platform: "tensorrt_plan"
# Tuned by reasoning, not measured.
# Profile 0 is one row alone, profile 1 any number, its kernels chosen for all: the backend takes the nearest,
# so that a lone request has kernels of its own. Named, else only profile 0 is ever used (server#8629). One
# instance: a full batch fills a GPU, and the engines of a request run side by side anyway; a second would
# double the memory of activations.
instance_group [ { count: 1  kind: KIND_GPU  profile: [ "0", "1" ] } ]
# Every profile has a context that never leaves it: memory for its own rows instead of for all, at one address
# for good, as a captured graph needs it.
parameters { key: "execution_context_allocation_strategy"  value { string_value: "ON_PROFILE_CHANGE" } }
# Preferred is the size that profile 1 is tuned for; 1 would send three waiting requests one by one. The rows
# of a batch leave the step before within microseconds: 500 keep them together, and a lone request waits
# a quarter of what preprocess has it wait.
dynamic_batching { preferred_batch_size: [ 8 ]  max_queue_delay_microseconds: 500 }
optimization {
  # Off: filling the next batch while one runs takes what is there, hence smaller batches under load.
  eager_batching: false
  # A batch of eight is eight copies per input, 5 us each to launch; one kernel gathers four or more as fast.
  gather_kernel_buffer_threshold: 4
  # For what comes from the CPU (masks, sensors, tokens of texts): copied without a stop in pageable memory.
  input_pinned_memory { enable: true }
  output_pinned_memory { enable: true }
  # Graphs: every shape is fixed but for the rows, none depends on data; captured for 1 and 8 rows, hundreds
  # of launches less where they weigh most. Waiting is not busy: it would spin a core per engine, which the
  # decoders want. A stream of its own lets answers leave while the next batch runs, for a second buffer.
  cuda { graphs: true  busy_wait_events: false  output_copy_stream: true }
}
"""

CPU_SECTIONS = {
    "onnxruntime": """\
backend: "onnxruntime"
default_model_filename: "model.onnx"
instance_group [ { count: 1  kind: KIND_CPU } ]
dynamic_batching { }
""",
    "openvino bf16": """\
backend: "openvino"
default_model_filename: "model.onnx"
# A processor without bf16 runs fp32 instead, which the log then says.
parameters { key: "HINT_BF16"  value { string_value: "YES" } }
instance_group [ { count: 1  kind: KIND_CPU } ]
dynamic_batching { }
""",
}

# Models of the presets that CPUs serve which another engine than ONNX Runtime in fp32 runs faster within the
# accuracy budget, and by how much, one row on one core (docs/decisions/0011-cpu-engines.md). The others are
# slower: fusions 2 to 3 times, they are so small that starting a run counts; convolutions by channel 1.3.
FASTER_ON_CPU = {
    "weld_small_video_encoder": "openvino bf16",  # 1.9
    "weld_small_image_encoder": "openvino bf16",  # 1.9
    "weld_small_audio_encoder": "openvino bf16",  # 1.5
    "weld_small_sensor_encoder": "openvino bf16",  # 2.6
    "vision_language_small_text_encoder": "openvino bf16",  # 1.8
}


THREADS = {"onnxruntime": "intra_op_thread_count", "openvino": "INFERENCE_NUM_THREADS"}


def engine_sections(model: str, mask: str = "", threads: int = 0) -> Mapping[str, str]:
    """Target -> section of the engine called `model`.

    mask:    the input without which it answers zeros
    threads: on a CPU; by default all cores
    """
    engine = FASTER_ON_CPU.get(model, "onnxruntime")
    cpu = CPU_SECTIONS[engine]
    if threads:
        cpu += parameter(THREADS[engine.split()[0]], str(threads))
    if mask:
        cpu += "# Absent: our backend answers the zeros itself, 0.5 ms sooner than the engine.\n"
        cpu += parameter("ZEROS_WITHOUT", mask)
    return {"gpu": TENSORRT_SECTION, "cpu": cpu}


TELLERS = tuple(f'backend: "{name}"' for name in ("dali", "onnxruntime", "openvino", "generator"))


def telling(models: Sequence[Model], gate: Model) -> list[Model]:
    """The same models; on each target the last that a backend of ours runs tells the gate what is done.

    models: in the order in which a request meets them, without the gate
    """
    tells = "# So that the gate knows what is under way, and refuses what would come too late.\n"
    tells += parameter("ADMISSION_GATE", gate.name)
    found = list(models)
    for target in TARGETS:
        place = max(at for at, one in enumerate(models) if one.sections[target].startswith(TELLERS))
        sections = {**found[place].sections, target: found[place].sections[target] + tells}
        found[place] = replace(found[place], sections=sections)
    return found


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
    ]
    own = "".join(parameter(key, value) for key, value in model.parameters.items())
    return "\n".join(lines) + "\n" + own + model.sections[target] + warm_up_section(model, target)


def warm_up_section(model: Model, target: str) -> str:
    """A request for each profile of a TensorRT engine, of real tensors; empty for what is no such engine."""
    if TENSORRT not in model.sections[target]:
        return ""
    lines = [
        "# A request per profile before the model is ready: what is made on first use is made then. Its rows",
        "# are those of a real request, written into warmup/ by `python -m serving warm-up`.",
        "model_warmup [",
        ",\n".join(_warm_up(model, name, rows) for name, rows in WARM_UP_ROWS.items()),
        "]",
    ]
    return "\n".join(lines) + "\n"


def _warm_up(model: Model, name: str, rows: int) -> str:
    """One entry; Triton repeats the row of the files `rows` times."""
    inputs = [
        f'    inputs {{ key: "{one.name}"  value {{ data_type: TYPE_{one.dtype}  '
        f'dims: [ {", ".join(map(str, one.dims))} ]  input_data_file: "{one.name}" }} }}'
        for one in model.inputs
    ]
    return "\n".join([f'  {{ name: "{name}"  batch_size: {rows}', *inputs, "  }"])


def files(described: Iterable[Model]) -> dict[str, str]:
    """Relative path -> text of every configuration file."""
    return {
        f"{model.name}/{path}": render(model, target)
        for model in described
        for target, path in TARGETS.items()
    }
