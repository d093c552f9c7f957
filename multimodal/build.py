"""Turn a preset into a model: the only place where names become modules."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from multimodal.encoders import ENCODERS, EncoderClass
from multimodal.front_ends import KaldiLogMel, PixelFrontEnd, SeriesStandardiser
from multimodal.fusions import FUSIONS
from multimodal.presets import WeldPreset
from multimodal.weights import require_file, require_fit
from multimodal.weld import QuadModalWeldModel
from multimodal.weld_classes import MODALITIES

AUXILIARY = "auxiliary."


def build(
    preset: WeldPreset,
    weights: Path | None = None,
    fusion: str = "weld_cross_attention",
    encoders: Mapping[str, EncoderClass] = ENCODERS,
) -> QuadModalWeldModel:
    """Build the model of a preset, in eval mode and float32.

    weights: safetensors as `save_weights` writes them, half or single precision; None leaves random weights
    encoders: modality -> class; `LIGHT_ENCODERS` give the same tokens, for tests and ablations
    Raises ValueError for an unknown fusion or weights that do not fit, FileNotFoundError for a missing file.
    """
    if fusion not in FUSIONS:
        raise ValueError(f"fusion: expected one of {', '.join(FUSIONS)}, got '{fusion}'")
    front_ends = nn.ModuleDict(
        {
            "video": PixelFrontEnd(),
            "image": PixelFrontEnd(),
            "audio": KaldiLogMel(preset.audio),
            "sensor": SeriesStandardiser(preset.sensor.channels),
        }
    )
    parts = {name: encoders[name].from_preset(getattr(preset, name)) for name in MODALITIES}
    head = FUSIONS[fusion](token_widths(preset), preset.fusion)
    model = QuadModalWeldModel(front_ends, nn.ModuleDict(parts), head)
    if weights is not None:
        load_weights(model, weights)
    return model.eval()


def token_widths(preset: WeldPreset) -> dict[str, int]:
    """Modality -> width of its tokens, in the order of MODALITIES."""
    return {name: preset.token_width(name) for name in MODALITIES}


def load_weights(model: QuadModalWeldModel, path: Path) -> None:
    """Load weights in place, converted to float32. Raises ValueError when names or shapes differ."""
    require_file(path)
    state = {name: tensor.float() for name, tensor in load_file(path).items()}
    require_fit(state, weld_state(model), path)
    model.load_state_dict(state, strict=False)  # only attached auxiliary heads can be left over


def save_weights(model: QuadModalWeldModel, path: Path, dtype: torch.dtype = torch.float16) -> Path:
    """Write everything that serving needs as safetensors in `dtype`; auxiliary heads stay behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in weld_state(model).items()
    }
    save_file(state, path)
    return path


def weld_state(model: QuadModalWeldModel) -> dict[str, torch.Tensor]:
    """The model's state without auxiliary heads."""
    return {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(AUXILIARY)}
