"""The models of `video_quality`: gate, ensemble, and per preset preprocess, encoders and the fusion.

The tensors between the engines are as wide as the networks of a preset make them: these are built without
weights (on the meta device, half a second each) and asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch

from model_repository.configuration import (
    TARGETS,
    Model,
    Tensor,
    engine_sections,
    ensemble_section,
    gate_section,
    telling,
)
from multimodal.clip_features import EVIDENCE_COLUMNS, EVIDENCE_ROWS
from multimodal.fusions import QUALITY_FUSIONS
from multimodal.quality_build import build_quality
from multimodal.quality_presets import FRAMES, QUALITY_PRESETS, VideoQualityPreset

PRESET_OF_TARGET = {"gpu": "video_quality_unified", "cpu": "video_quality_small"}
SERVED = ("video_quality_small", "video_quality_unified", "video_quality_optimised")

VIDEO = Tensor("video", "UINT8", (-1,))
PRESENT = Tensor("present", "BOOL", (1,))
VALID = Tensor("video_valid", "BOOL", (1,))
MOMENTS = (Tensor("frame_numbers", "INT32", (FRAMES,)), Tensor("frame_times", "FP32", (FRAMES,)))
STATUS = Tensor("modality_status", "INT32", (1,))
ANSWER = (
    Tensor("quality_score", "FP32", (1,)),
    Tensor("frame_scores", "FP32", (FRAMES,)),
    Tensor("frame_weights", "FP32", (FRAMES,)),
    Tensor("fusion_weights", "FP32", (EVIDENCE_ROWS, EVIDENCE_COLUMNS)),
    Tensor("fusion_shape", "INT32", (2,)),
    Tensor("fusion_index", "INT32", (1,)),
)

UNDER_WAY = "64 clips of ten seconds at 640x360 are seven seconds of work on two cores, most of it decoding."

PREPROCESS_SECTION = {
    "gpu": """\
backend: "dali"
# On the CPU here too: DALI gives frames of one size, fragments are cut from frames at their own. Each process
# decodes on two cores; four keep up with more clips at once, and a lone clip is as fast with one.
instance_group [ { count: 4  kind: KIND_CPU } ]
dynamic_batching { }
""",
    "cpu": """\
backend: "dali"
instance_group [ { count: 1  kind: KIND_CPU } ]
# No delay: with two cores a waiting batch fills by itself while the one before it is computed.
dynamic_batching { }
""",
}


@dataclass(frozen=True)
class Wires:
    """Tensors between the engines of one preset: of the spatial view, and of the temporal one."""

    spatial: tuple[Tensor, ...]
    temporal: tuple[Tensor, ...]


def models(presets: Mapping[str, VideoQualityPreset] = QUALITY_PRESETS) -> list[Model]:
    """Every model of the pipeline, in the order in which a request meets them."""
    described = [ensemble(), gate()]
    for name in SERVED:
        described += preset_models(presets[name])
    return described


def preset_models(preset: VideoQualityPreset) -> list[Model]:
    """Preprocess, one encoder or two, and the fusion of one preset."""
    return telling([preprocess(preset), *encoders(preset), fusion(preset)], gate())


def gate() -> Model:
    """What may come in, and how much of it."""
    return Model(
        "video_quality_gate",
        (VIDEO,),
        (PRESENT,),
        dict.fromkeys(TARGETS, gate_section(64, UNDER_WAY)),
        "The only step that may refuse a request: size, container, header; admission control.",
        {"modalities": VIDEO.name, "video_max_bytes": str(64 << 20)},
    )


def preprocess(preset: VideoQualityPreset) -> Model:
    """A video file to the tensors of the encoders."""
    return Model(
        f"{preset.name}_preprocess",
        (VIDEO, PRESENT),
        (*pixels(preset), VALID, *MOMENTS, STATUS),
        PREPROCESS_SECTION,
        "Decode and cut out what is looked at; a broken video becomes zeros and a status, never an error.",
        {"modalities": VIDEO.name},
    )


def pixels(preset: VideoQualityPreset) -> tuple[Tensor, ...]:
    """What is cut out of a video: whole frames, for some presets fragments too."""
    sampling = preset.sampling
    size, fragments = sampling.size_px, sampling.fragments_px
    whole = Tensor("video_frames", "UINT8", (FRAMES * sampling.burst, size, size, 3))
    if not fragments:
        return (whole,)
    return whole, Tensor("video_fragments", "UINT8", (FRAMES, fragments, fragments, 3))


@cache
def wires(preset: VideoQualityPreset) -> Wires:
    """The tensors between encoders and fusion, as wide as the preset's networks make them."""
    with torch.device("meta"):
        model = build_quality(preset)
    values = sum(channels * height * width for channels, height, width in model.map_shapes)
    tokens = (FRAMES, preset.feature_width)
    return Wires(
        (Tensor("spatial_tokens", "FP32", tokens), Tensor("spatial_maps", "FP32", (values,))),
        (
            Tensor("temporal_tokens", "FP32", tokens),
            Tensor("temporal_levels", "FP32", (sum(model.level_widths),)),
        ),
    )


def encoders(preset: VideoQualityPreset) -> list[Model]:
    """One engine per view, or one for both."""
    frames, *fragments = pixels(preset)
    between = wires(preset)
    if preset.family == "optimised":
        return [engine(preset, "encoder", (frames,), (*between.spatial, *between.temporal))]
    return [
        engine(preset, "spatial_encoder", tuple(fragments), between.spatial),
        engine(preset, "temporal_encoder", (frames,), between.temporal),
    ]


def engine(
    preset: VideoQualityPreset, part: str, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]
) -> Model:
    """One encoder."""
    return Model(
        f"{preset.name}_{part}",
        (*inputs, VALID),
        outputs,
        engine_sections(f"{preset.name}_{part}"),
        f"{' and '.join(t.name for t in inputs)} -> tokens and what each stage saw; not valid: zeros.",
    )


def fusion(preset: VideoQualityPreset) -> Model:
    """The engine that answers."""
    between = wires(preset)
    return Model(
        f"{preset.name}_fusion",
        (*between.spatial, *between.temporal, VALID),
        ANSWER,
        engine_sections(f"{preset.name}_fusion"),
        "Both views of a clip -> quality, score and weight of every moment, and the fusion's own evidence.",
    )


def ensemble() -> Model:
    """The stable name that clients call: one outside for every preset and fusion."""
    return Model(
        "video_quality",
        (VIDEO,),
        (*ANSWER, *MOMENTS, STATUS),
        {
            target: ensemble_section((gate(), *preset_models(QUALITY_PRESETS[name])))
            for target, name in PRESET_OF_TARGET.items()
        },
        "A video file in; quality from 0 to 100, which moments mattered and why out.",
        {"modalities": VIDEO.name, "fusions": fusions()},
        ensemble=True,
    )


def fusions() -> str:
    """What `fusion_index` and `fusion_weights` mean: `name:row|row:column|column` each, joined by `;`."""
    entries = []
    for name, kind in QUALITY_FUSIONS.items():
        evidence = kind.evidence
        entries.append(":".join((name, "|".join(evidence.rows), "|".join(evidence.columns))))
    return ";".join(entries)
