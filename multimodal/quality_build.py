"""Turn a video quality preset into a model, and keep one file of weights for all of its fusions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from multimodal.encoders.feature_extractor import unknown_name
from multimodal.fusions import QUALITY_FUSIONS
from multimodal.optimised_quality import OptimizedVQAConfig, OptimizedVQAModel
from multimodal.quality_presets import VideoQualityPreset
from multimodal.unified_quality import UnifiedVQAFusionModel, VQAFusionConfig
from multimodal.weights import require_file, require_fit

QualityModel = UnifiedVQAFusionModel | OptimizedVQAModel

TRUNK, FUSIONS = "trunk.", "fusions."


def build_quality(
    preset: VideoQualityPreset, weights: Path | None = None, fusion: str | None = None
) -> QualityModel:
    """Build the model of a preset with one of the fusions, in eval mode and float32.

    weights: safetensors as `save_quality_weights` writes them; None leaves random weights
    fusion:  a name in QUALITY_FUSIONS; the preset's own when left out
    Raises ValueError for an unknown fusion or weights that do not fit, FileNotFoundError for a missing file.
    """
    name = fusion or preset.default_fusion
    if name not in QUALITY_FUSIONS:
        raise unknown_name("fusion", name, QUALITY_FUSIONS)
    model = _unified(preset, name) if preset.family == "unified" else _optimised(preset, name)
    if weights is not None:
        load_quality_weights(model, weights)
    return model.eval()


def _unified(preset: VideoQualityPreset, fusion: str) -> UnifiedVQAFusionModel:
    sizes = preset.fusion
    return UnifiedVQAFusionModel(
        VQAFusionConfig(
            feature_dim=preset.feature_width,
            dropout=sizes.dropout,
            spatial_backbone_1=preset.spatial,
            spatial_backbone_2=preset.temporal,
            fusion_strategy=fusion,
            num_heads=sizes.heads,
            attention_dropout=sizes.dropout,
            num_experts=sizes.experts,
            gate_hidden_dim=sizes.gate_width,
            frame_pooling="attention",
            frame_head=True,
            still=preset.still,
            moving=preset.moving,
            sampling=preset.sampling,
        )
    )


def _optimised(preset: VideoQualityPreset, fusion: str) -> OptimizedVQAModel:
    return OptimizedVQAModel(
        OptimizedVQAConfig(
            spatial_backbone=preset.spatial,
            fpn_channels=preset.feature_width,
            fusion_type=fusion,
            fusion=preset.fusion,
            frame_head=True,
            sampling=preset.sampling,
        )
    )


def trunk_state(model: QualityModel) -> dict[str, Tensor]:
    """What does not depend on the fusion: encoders, temporal module, frame head and score scale."""
    return {name: tensor for name, tensor in model.state_dict().items() if not _of_fusion(model, name)}


def fusion_state(model: QualityModel) -> dict[str, Tensor]:
    """What does: frame attention, fusion and head."""
    return {name: tensor for name, tensor in model.state_dict().items() if _of_fusion(model, name)}


def _of_fusion(model: QualityModel, name: str) -> bool:
    return name.startswith(model.OF_FUSION)


def trained_fusions(path: Path) -> tuple[str, ...]:
    """The fusions that a file has a head for, in the registry's order; FileNotFoundError without the file."""
    require_file(path)
    with safe_open(path, "pt") as file:
        found = {name.split(".")[1] for name in file.keys() if name.startswith(FUSIONS)}  # noqa: SIM118
    return tuple(name for name in QUALITY_FUSIONS if name in found)


def load_quality_weights(model: QualityModel, path: Path) -> None:
    """Load trunk and head of the model's fusion in place, converted to float32.

    Raises FileNotFoundError without the file, ValueError for a file without a head for this fusion or with
    tensors that are not the model's.
    """
    known = trained_fusions(path)
    if model.fusion_name not in known:
        raise ValueError(
            f"weights {path.name}: expected a head for the fusion {model.fusion_name}, the file has some for "
            f"{', '.join(known) or 'none'}; choose one of these, or train it"
        )
    head = f"{FUSIONS}{model.fusion_name}."
    state: dict[str, Tensor] = {}
    with safe_open(path, "pt") as file:
        for name in file.keys():  # noqa: SIM118  not a mapping
            for prefix in (TRUNK, head):
                if name.startswith(prefix):
                    state[name.removeprefix(prefix)] = file.get_tensor(name)
    require_fit(state, model.state_dict(), path)
    model.load_state_dict(state)


def save_quality_weights(
    trunk_model: QualityModel,
    models: Mapping[str, QualityModel],
    path: Path,
    dtype: torch.dtype = torch.float16,
) -> Path:
    """Write the trunk of one model and the heads of all: fusion name -> model with that fusion.

    Parameters go to disk in `dtype`, buffers as they are: half precision is too narrow for variances.
    ValueError for a model under another fusion's name, or one of another family or preset.
    """
    for name, model in models.items():
        if name != model.fusion_name:
            raise ValueError(f"fusion {name}: expected a model with it, got one with {model.fusion_name}")
    buffers = {name for name, _ in trunk_model.named_buffers()}
    state = {
        TRUNK + name: _stored(tensor, None if name in buffers else dtype)
        for name, tensor in trunk_state(trunk_model).items()
    }
    for fusion, model in models.items():
        for name, tensor in fusion_state(model).items():
            state[f"{FUSIONS}{fusion}.{name}"] = _stored(tensor, dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path)
    return path


def _stored(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    return tensor.detach().to("cpu", dtype or tensor.dtype).contiguous()
