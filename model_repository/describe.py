"""Write the Triton configurations of every weld model from one description.

Six models per preset, each once for the GPU (`config.pbtxt`) and once for the CPU (`configs/cpu.pbtxt`), plus
the gate and the ensemble: too many near-identical files to keep in step by hand. The committed text is the
contract that export, server and client read; a test regenerates it and compares.

    python -m model_repository.describe        # rewrites the files in place
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from multimodal.presets import PRESETS, WeldPreset
from multimodal.weld_classes import CLASS_NAMES, MODALITIES, SENSOR_COLUMNS

ROOT = Path(__file__).parent
MAX_BATCH = 8  # rows of one execution; larger batches gained under 5 % on two cores and cost latency
TARGETS = {"gpu": "config.pbtxt", "cpu": "configs/cpu.pbtxt"}
PRESET_OF_TARGET = {"gpu": "weld_base", "cpu": "weld_small"}


@dataclass(frozen=True)
class Tensor:
    """One input or output: Triton data type without its prefix, dims without the batch axis."""

    name: str
    dtype: str
    dims: tuple[int, ...]

    def render(self, ragged: bool = False) -> str:
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


PAYLOADS = (
    Tensor("video", "UINT8", (-1,)),
    Tensor("image", "UINT8", (-1,)),
    Tensor("image_sizes", "INT64", (-1,)),
    Tensor("audio", "UINT8", (-1,)),
    Tensor("sensor", "UINT8", (-1,)),
)
PRESENT = Tensor("present", "BOOL", (len(MODALITIES),))

GATE_SECTION = """\
backend: "gate"
instance_group [ { count: 1  kind: KIND_CPU } ]
# The only queue limit of the pipeline: in 2.51 a limit on a later step crashes the server or hangs requests.
# 256 waiting requests are about ten seconds of work on two cores; past that UNAVAILABLE comes at once.
dynamic_batching { default_queue_policy { max_queue_size: 256 } }
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


def models(presets: Mapping[str, WeldPreset] = PRESETS) -> list[Model]:
    """Every model of the weld pipeline, in the order in which a request meets them."""
    served = [preset for preset in presets.values() if preset.name in PRESET_OF_TARGET.values()]
    described = [ensemble(), gate()]
    for preset in served:
        described += preset_models(preset)
    return described


def preset_models(preset: WeldPreset) -> list[Model]:
    """Preprocess, four encoders and the fusion head of one preset."""
    return [preprocess(preset), *encoders(preset), fusion(preset)]


def gate() -> Model:
    limits = {
        "modalities": ",".join(MODALITIES),
        "video_max_bytes": str(64 << 20),
        "image_max_bytes": str(16 << 20),
        "image_max_count": "5",
        "image_max_pixels": "50000000",
        "audio_max_bytes": str(32 << 20),
        "sensor_max_bytes": str(8 << 20),
        "sensor_columns": ",".join(SENSOR_COLUMNS),
    }
    return Model(
        "weld_gate",
        PAYLOADS,
        (PRESENT,),
        dict.fromkeys(TARGETS, GATE_SECTION),
        "The only step that may refuse a request: sizes, magic numbers, headers, counts; admission control.",
        limits,
    )


def raw_tensors(preset: WeldPreset) -> dict[str, tuple[Tensor, ...]]:
    """What preprocess hands to each encoder, without the validity mask."""
    video, image, audio, sensor = preset.video, preset.image, preset.audio, preset.sensor
    return {
        "video": (Tensor("video_frames", "UINT8", (video.frames, video.size_px, video.size_px, 3)),),
        "image": (Tensor("image_pixels", "UINT8", (image.count, image.size_px, image.size_px, 3)),),
        "audio": (
            Tensor("audio_waveform", "FP32", (audio.samples,)),
            Tensor("audio_samples", "INT32", (1,)),
        ),
        "sensor": (Tensor("sensor_series", "FP32", (sensor.steps, sensor.channels)),),
    }


def valid_tensors(preset: WeldPreset) -> dict[str, Tensor]:
    rows = {"video": 1, "image": preset.image.count, "audio": 1, "sensor": 1}
    return {name: Tensor(f"{name}_valid", "BOOL", (rows[name],)) for name in MODALITIES}


def token_tensors(preset: WeldPreset) -> dict[str, Tensor]:
    return {
        name: Tensor(f"{name}_tokens", "FP32", (preset.token_count(name), preset.token_width(name)))
        for name in MODALITIES
    }


def status_tensors(preset: WeldPreset) -> tuple[Tensor, ...]:
    return (
        Tensor("modality_status", "INT32", (len(MODALITIES),)),
        Tensor("image_status", "INT32", (preset.image.count,)),
    )


def preprocess(preset: WeldPreset) -> Model:
    raw, valid = raw_tensors(preset), valid_tensors(preset)
    outputs = tuple(tensor for name in MODALITIES for tensor in (*raw[name], valid[name]))
    return Model(
        f"{preset.name}_preprocess",
        (*PAYLOADS, PRESENT),
        outputs + status_tensors(preset),
        PREPROCESS_SECTION,
        "Decode, resize, resample; a broken payload becomes zeros and a status, never an error.",
        {"modalities": ",".join(MODALITIES), "sensor_columns": ",".join(SENSOR_COLUMNS)},
    )


def encoders(preset: WeldPreset) -> list[Model]:
    raw, valid, tokens = raw_tensors(preset), valid_tensors(preset), token_tensors(preset)
    return [
        Model(
            f"{preset.name}_{name}_encoder",
            (*raw[name], valid[name]),
            (tokens[name],),
            ENGINE_SECTION,
            f"{name} rows -> tokens; rows that are not valid give zero tokens.",
        )
        for name in MODALITIES
    ]


def fusion(preset: WeldPreset) -> Model:
    valid, tokens = valid_tensors(preset), token_tensors(preset)
    return Model(
        f"{preset.name}_fusion",
        (*tokens.values(), *valid.values()),
        answer_tensors(preset),
        ENGINE_SECTION,
        "Tokens of all modalities -> defect class, anomaly score, embedding, attention.",
    )


def answer_tensors(preset: WeldPreset) -> tuple[Tensor, ...]:
    attention = tuple(
        Tensor(f"{name}_attention", "FP32", (preset.fusion.tokens, preset.token_count(name)))
        for name in MODALITIES
    )
    return (
        Tensor("probabilities", "FP32", (len(CLASS_NAMES),)),
        Tensor("anomaly_score", "FP32", (1,)),
        Tensor("embedding", "FP32", (preset.fusion.width,)),
        *attention,
    )


def ensemble() -> Model:
    """The stable name that clients call: one outside for every preset, the steps of one inside."""
    reference = PRESETS[PRESET_OF_TARGET["cpu"]]
    outputs = [
        Tensor(tensor.name, tensor.dtype, (-1,))
        if tensor.name == "embedding"
        else tensor  # its width is the preset's
        for tensor in (*answer_tensors(reference), *status_tensors(reference))
    ]
    sections = {target: schedule(PRESETS[name]) for target, name in PRESET_OF_TARGET.items()}
    return Model(
        "weld_inspection",
        PAYLOADS,
        tuple(outputs),
        sections,
        "Raw files of one weld in, defect class and evidence out. Empty payload = absent modality.",
        {
            "modalities": ",".join(MODALITIES),
            "class_names": ",".join(CLASS_NAMES),
            "sensor_columns": ",".join(SENSOR_COLUMNS),
        },
        ensemble=True,
    )


def schedule(preset: WeldPreset) -> str:
    """What depends on the preset; clients need the window to place audio attention in time."""
    window = (
        f'parameters {{ key: "audio_window_samples"  value {{ string_value: "{preset.audio.samples}" }} }}'
    )
    return "\n".join([window, 'platform: "ensemble"', "ensemble_scheduling {", *steps(preset), "}", ""])


def steps(preset: WeldPreset) -> list[str]:
    lines: list[str] = []
    for model in (gate(), *preset_models(preset)):
        lines.append(f'  step [ {{ model_name: "{model.name}"  model_version: -1')
        lines += [f'    input_map {{ key: "{t.name}" value: "{t.name}" }}' for t in model.inputs]
        lines += [f'    output_map {{ key: "{t.name}" value: "{t.name}" }}' for t in model.outputs]
        lines.append("  } ]")
    return lines


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


def files(described: list[Model] | None = None) -> dict[str, str]:
    """Relative path -> text of every configuration file."""
    return {
        f"{model.name}/{path}": render(model, target)
        for model in (models() if described is None else described)
        for target, path in TARGETS.items()
    }


def main() -> None:
    for path, text in files().items():
        file = ROOT / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        version = ROOT / path.split("/")[0] / "1"
        version.mkdir(exist_ok=True)
        if not any(version.glob("*.py")):
            (version / ".gitkeep").touch()
        print(path)


if __name__ == "__main__":
    main()
