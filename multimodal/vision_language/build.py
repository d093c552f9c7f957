"""Turn a vision-language preset into a model, and keep one file of what was trained of it.

Pretrained trunks come from the packages that ship them; the file has a trunk only if training changed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from multimodal.encoders.feature_extractor import unknown_name
from multimodal.vision_language.fusion_table import VISION_LANGUAGE_FUSIONS
from multimodal.vision_language.model import VisualLanguageModel
from multimodal.vision_language.presets import VisionLanguagePreset
from multimodal.vision_language.text_decoder import TextDecoder
from multimodal.vision_language.text_encoder import TEXT_TRUNKS, TextEncoder, bert_of, load_bert
from multimodal.vision_language.visual_encoder import VISUAL_TRUNKS, VisualEncoder
from multimodal.weights import require_file, require_fit

TRUNK, FUSIONS = "trunk.", "fusions."
OF_FUSION = ("heads.fusion.", "heads.classifier.")
PRETRAINED = ("visual.backbone.", "text.backbone.")


def build_vision_language(
    preset: VisionLanguagePreset, weights: Path | None = None, fusion: str = "", gamma: float = 0.0
) -> VisualLanguageModel:
    """Build the model of a preset with one of the fusions, in eval mode and float32.

    weights: safetensors as `save_vision_language_weights` writes them, beside the trunks that packages ship;
             None leaves everything random
    fusion:  a name in VISION_LANGUAGE_FUSIONS; the preset's own when left out
    gamma:   weight of generation; above 0 the model has a decoder (never in the file)
    Raises ValueError for an unknown fusion or weights that do not fit, FileNotFoundError for a missing file.
    """
    name = fusion or preset.default_fusion
    if name not in VISION_LANGUAGE_FUSIONS:
        raise unknown_name("vision-language fusion", name, VISION_LANGUAGE_FUSIONS)
    trunk = VISUAL_TRUNKS[preset.photo.trunk]
    model = VisualLanguageModel(
        preset.classes,
        preset.feature_width,
        VisualEncoder(preset.feature_width, trunk.build(), preset.photo.grid, trunk.normalise()),
        TextEncoder(preset.feature_width, bert_of(preset.words), preset.words.pooling),
        VISION_LANGUAGE_FUSIONS[name](preset),
        preset.fused_width,
        preset.embedding_width,
    )
    model.fusion_name = name
    if gamma > 0:
        model.heads.decoder = TextDecoder(
            preset.fused_width, preset.words.vocabulary, preset.fused_width, heads=preset.heads
        )
    if weights is not None:
        load_vision_language_weights(model, preset, weights)
    return model.eval()


def load_pretrained(
    model: VisualLanguageModel,
    preset: VisionLanguagePreset,
    visual: str | Path | None = None,
    text: str | Path | None = None,
) -> VisualLanguageModel:
    """Load published trunks in place, freeze them, and return the model.

    visual, text: a folder, a file or a hub id; where packages ship them when left out. A trunk without either
    stays random and goes on learning.
    Raises OSError (FileNotFoundError among them) when a source is not there.
    """
    seen, read = VISUAL_TRUNKS[preset.photo.trunk], TEXT_TRUNKS[preset.words.trunk]
    visual = visual or (seen.shipped() if seen.shipped else None)
    text = text or (read.shipped() if read.shipped else None)
    if visual is not None and seen.load is not None:
        model.visual.backbone.load_state_dict(seen.load(visual).state_dict())
        model.visual.backbone.freeze()
    if text is not None:
        model.text.backbone.load_state_dict(load_bert(text, preset.words.pooling).state_dict())
        model.text.freeze_backbone()
    return model


def _states(model: VisualLanguageModel) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What does not depend on the fusion, and what does; a decoder is neither."""
    state = {
        name: tensor for name, tensor in model.state_dict().items() if not name.startswith("heads.decoder.")
    }
    of_fusion = {name: tensor for name, tensor in state.items() if name.startswith(OF_FUSION)}
    return {name: tensor for name, tensor in state.items() if name not in of_fusion}, of_fusion


def trunk_state(model: VisualLanguageModel) -> dict[str, Tensor]:
    """What does not depend on the fusion: encoders and retrieval heads."""
    return _states(model)[0]


def trained_fusions(path: Path) -> tuple[str, ...]:
    """The fusions that a file has a head for, in the table's order; FileNotFoundError without the file."""
    require_file(path)
    with safe_open(path, "pt") as file:
        found = {name.split(".")[1] for name in file.keys() if name.startswith(FUSIONS)}  # noqa: SIM118
    return tuple(name for name in VISION_LANGUAGE_FUSIONS if name in found)


def load_vision_language_weights(
    model: VisualLanguageModel, preset: VisionLanguagePreset, path: Path
) -> None:
    """Load a file's trunk and its head for the model's fusion in place; what it lacks, packages ship.

    Raises FileNotFoundError without file or package, ValueError for a file without a head for this fusion or
    with tensors that are not the model's.
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
    absent = tuple(trunk for trunk in PRETRAINED if not any(name.startswith(trunk) for name in state))
    if absent:
        load_pretrained(model, preset)
    trunk, of_fusion = _states(model)
    shipped = {name: tensor for name, tensor in trunk.items() if absent and name.startswith(absent)}
    require_fit(state | shipped, trunk | of_fusion, path)
    model.load_state_dict(state | shipped, strict=model.heads.decoder is None)


def save_vision_language_weights(
    models: Mapping[str, VisualLanguageModel], path: Path, dtype: torch.dtype = torch.float16
) -> Path:
    """Write the trunk of the first model and the heads of all: fusion name -> model with that fusion.

    Trunks that are frozen are not written: their packages ship them. Parameters go to disk in `dtype`,
    buffers as they are. ValueError for a model under another fusion's name.
    """
    for name, model in models.items():
        if name != model.fusion_name:
            raise ValueError(f"fusion {name}: expected a model with it, got one with {model.fusion_name}")
    first = next(iter(models.values()))
    frozen = tuple(
        trunk
        for trunk, one in zip(PRETRAINED, (first.visual.backbone, first.text), strict=True)
        if one.frozen
    )
    buffers = {name for name, _ in first.named_buffers()}
    state = {
        TRUNK + name: _stored(tensor, None if name in buffers else dtype)
        for name, tensor in trunk_state(first).items()
        if not (frozen and name.startswith(frozen))
    }
    for fusion, model in models.items():
        for name, tensor in _states(model)[1].items():
            state[f"{FUSIONS}{fusion}.{name}"] = _stored(tensor, dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path)
    return path


def _stored(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    return tensor.detach().to("cpu", dtype or tensor.dtype).contiguous()
