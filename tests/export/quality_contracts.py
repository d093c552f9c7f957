"""Configurations of a video quality preset's engines, written here from the sizes of its modules."""

from __future__ import annotations

from pathlib import Path

from multimodal.quality_build import build_quality
from multimodal.quality_presets import FRAMES, QUALITY_PRESETS, VideoQualityPreset

VALID = ("video_valid", "BOOL", (1,))
ANSWER = (
    ("quality_score", "FP32", (1,)),
    ("frame_scores", "FP32", (FRAMES,)),
    ("frame_weights", "FP32", (FRAMES,)),
    ("fusion_weights", "FP32", (4, 16)),
    ("fusion_shape", "INT32", (2,)),
    ("fusion_index", "INT32", (1,)),
)


def write_quality_repository(root: Path, preset: VideoQualityPreset) -> Path:
    """config.pbtxt of every model with an engine."""
    for name, (inputs, outputs) in engines(preset).items():
        lines = [f'name: "{name}"', 'backend: "onnxruntime"', "max_batch_size: 8"]
        for side, tensors in (("input", inputs), ("output", outputs)):
            lines += [_entry(side, *tensor) for tensor in tensors]
        folder = root / name
        folder.mkdir(parents=True)
        (folder / "config.pbtxt").write_text("\n".join(lines) + "\n")
    return root


def engines(preset: VideoQualityPreset) -> dict[str, tuple]:
    """Model name -> its inputs and outputs as (name, dtype, dims)."""
    model, sampling = build_quality(preset), preset.sampling
    width, px, mosaic = preset.feature_width, sampling.size_px, sampling.fragments_px
    values = sum(channels * height * side for channels, height, side in model.map_shapes)
    frames = ("video_frames", "UINT8", (FRAMES * sampling.burst, px, px, 3))
    fragments = ("video_fragments", "UINT8", (FRAMES, mosaic, mosaic, 3))
    spatial = (("spatial_tokens", "FP32", (FRAMES, width)), ("spatial_maps", "FP32", (values,)))
    temporal = (
        ("temporal_tokens", "FP32", (FRAMES, width)),
        ("temporal_levels", "FP32", (sum(model.level_widths),)),
    )
    encoders = (
        {"encoder": ((frames, VALID), (*spatial, *temporal))}
        if preset.family == "optimised"
        else {
            "spatial_encoder": ((fragments, VALID), spatial),
            "temporal_encoder": ((frames, VALID), temporal),
        }
    )
    parts = encoders | {"fusion": ((*spatial, *temporal, VALID), ANSWER)}
    return {f"{preset.name}_{part}": tensors for part, tensors in parts.items()}


def _entry(side: str, name: str, dtype: str, dims: tuple[int, ...]) -> str:
    return f'{side} {{ name: "{name}" data_type: TYPE_{dtype} dims: [ {", ".join(map(str, dims))} ] }}'


TINY = QUALITY_PRESETS["video_quality_tiny"]
