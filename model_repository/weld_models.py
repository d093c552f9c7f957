"""The models of `weld_inspection`: gate, ensemble, and per preset preprocess, encoders and the fusion."""

from __future__ import annotations

from collections.abc import Mapping

from model_repository.configuration import (
    PREPROCESS_SECTION,
    TARGETS,
    Model,
    Tensor,
    engine_sections,
    ensemble_section,
    gate_section,
    telling,
)
from multimodal.presets import PRESETS, WeldPreset
from multimodal.weld_classes import CLASS_NAMES, MODALITIES, SENSOR_COLUMNS

PRESET_OF_TARGET = {"gpu": "weld_base", "cpu": "weld_small"}

PAYLOADS = (
    Tensor("video", "UINT8", (-1,)),
    Tensor("image", "UINT8", (-1,)),
    Tensor("image_sizes", "INT64", (-1,)),
    Tensor("audio", "UINT8", (-1,)),
    Tensor("sensor", "UINT8", (-1,)),
)
PRESENT = Tensor("present", "BOOL", (len(MODALITIES),))

UNDER_WAY = "256 requests are about five seconds of work on two cores; past that UNAVAILABLE comes at once."

# Measured in turns, 240 welds at once, three rounds on two cores (docs/log.md, 2026-11: serving): 39, 49, 51
# a second with one decoder and all cores for each engine; 43, 51, 56 with one thread; 50, 64, 59 with two
# decoders as well.
THREADS = 1  # of an engine: the four encoders of a weld run side by side, a lone request takes as long
DECODERS = """\
backend: "dali"
# Two: while one hands its batch on, the other decodes.
instance_group [ { count: 2  kind: KIND_CPU } ]
# No delay: with two cores a waiting batch fills by itself while the one before it is computed.
dynamic_batching { }
"""


def models(presets: Mapping[str, WeldPreset] = PRESETS) -> list[Model]:
    """Every model of the weld pipeline, in the order in which a request meets them."""
    served = [preset for preset in presets.values() if preset.name in PRESET_OF_TARGET.values()]
    described = [ensemble(), gate()]
    for preset in served:
        described += preset_models(preset)
    return described


def preset_models(preset: WeldPreset) -> list[Model]:
    """Preprocess, four encoders and the fusion head of one preset."""
    return telling([preprocess(preset), *encoders(preset), fusion(preset)], gate())


def gate() -> Model:
    """What may come in, and how much of it."""
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
        dict.fromkeys(TARGETS, gate_section(256, UNDER_WAY)),
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
    """Which rows of a modality hold data."""
    rows = {"video": 1, "image": preset.image.count, "audio": 1, "sensor": 1}
    return {name: Tensor(f"{name}_valid", "BOOL", (rows[name],)) for name in MODALITIES}


def token_tensors(preset: WeldPreset) -> dict[str, Tensor]:
    """What each encoder hands to the fusion."""
    return {
        name: Tensor(f"{name}_tokens", "FP32", (preset.token_count(name), preset.token_width(name)))
        for name in MODALITIES
    }


def status_tensors(preset: WeldPreset) -> tuple[Tensor, ...]:
    """What became of every payload and of every photo."""
    return (
        Tensor("modality_status", "INT32", (len(MODALITIES),)),
        Tensor("image_status", "INT32", (preset.image.count,)),
    )


def preprocess(preset: WeldPreset) -> Model:
    """Files of all modalities to the tensors of the encoders."""
    raw, valid = raw_tensors(preset), valid_tensors(preset)
    outputs = tuple(tensor for name in MODALITIES for tensor in (*raw[name], valid[name]))
    return Model(
        f"{preset.name}_preprocess",
        (*PAYLOADS, PRESENT),
        outputs + status_tensors(preset),
        {**PREPROCESS_SECTION, "cpu": DECODERS},
        "Decode, resize, resample; a broken payload becomes zeros and a status, never an error.",
        {"modalities": ",".join(MODALITIES), "sensor_columns": ",".join(SENSOR_COLUMNS)},
    )


def encoders(preset: WeldPreset) -> list[Model]:
    """One engine per modality."""
    raw, valid, tokens = raw_tensors(preset), valid_tensors(preset), token_tensors(preset)
    return [
        Model(
            f"{preset.name}_{name}_encoder",
            (*raw[name], valid[name]),
            (tokens[name],),
            engine_sections(f"{preset.name}_{name}_encoder", valid[name].name, THREADS),
            f"{name} rows -> tokens; rows that are not valid give zero tokens.",
        )
        for name in MODALITIES
    ]


def fusion(preset: WeldPreset) -> Model:
    """The engine that answers."""
    valid, tokens = valid_tensors(preset), token_tensors(preset)
    return Model(
        f"{preset.name}_fusion",
        (*tokens.values(), *valid.values()),
        answer_tensors(preset),
        engine_sections(f"{preset.name}_fusion", threads=THREADS),
        "Tokens of all modalities -> defect class, anomaly score, embedding, attention.",
    )


def answer_tensors(preset: WeldPreset) -> tuple[Tensor, ...]:
    """What the fusion says about a weld."""
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
    return window + "\n" + ensemble_section((gate(), *preset_models(preset)))
