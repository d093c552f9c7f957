"""The whole weld model: raw tensors of four modalities to defect class, anomaly score and evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from multimodal.encoders.backbone import BackboneEncoder
from multimodal.fusions import WeldFusion
from multimodal.heads import AuxiliaryHeads, WeldHeads
from multimodal.weld_classes import MODALITIES


@dataclass(frozen=True)
class WeldOutput:
    """What the model says about a batch of welds.

    logits, probabilities (batch, classes); anomaly_logit, anomaly_score (batch,); embedding (batch, width) as
    fused; features and projection (batch, width) of unit length; attention: modality -> (batch, fusion
    tokens, length).
    """

    logits: Tensor
    probabilities: Tensor
    anomaly_logit: Tensor
    anomaly_score: Tensor
    embedding: Tensor
    features: Tensor
    projection: Tensor
    attention: dict[str, Tensor]


class FusedAnswer(nn.Module):
    """Fusion, its norm and the heads: everything behind the tokens."""

    def __init__(self, fusion: WeldFusion, norm: nn.LayerNorm, heads: WeldHeads) -> None:
        super().__init__()
        self.fusion = fusion
        self.norm = norm
        self.heads = heads

    def fuse(self, tokens: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> WeldOutput:
        """Fuse tokens; a modality counts as present when any of its rows is valid.

        tokens: modality -> (batch, length, width of that modality)
        valid:  modality -> (batch, 1), or (batch, photos) for images, bool
        """
        masks = {name: valid[name].expand(tokens[name].shape[:2]) for name in MODALITIES}
        present = torch.stack([valid[name].any(dim=1) for name in MODALITIES], dim=1)
        embedding, info = self.fusion(tokens, masks, present)
        vector = self.norm(embedding)
        logits, anomaly_logit, projection = self.heads(vector)
        return WeldOutput(
            logits=logits,
            probabilities=logits.softmax(dim=-1),
            anomaly_logit=anomaly_logit,
            anomaly_score=anomaly_logit.sigmoid(),
            embedding=embedding,
            features=nn.functional.normalize(vector, dim=-1),
            projection=projection,
            attention=info["attention"],
        )


class QuadModalWeldModel(FusedAnswer):
    """Front ends, encoders, fusion and heads; encoding and fusing can be called apart, as serving does.

    front_ends, encoders: modality -> module, in the order of MODALITIES; fusion: see `multimodal.fusions`;
                          its `width`
    is the width of the heads.
    """

    def __init__(self, front_ends: nn.ModuleDict, encoders: nn.ModuleDict, fusion: WeldFusion) -> None:
        super().__init__(fusion, nn.LayerNorm(fusion.width), WeldHeads(fusion.width))
        for what, parts in (("front ends", front_ends), ("encoders", encoders)):
            if tuple(parts) != MODALITIES:
                raise ValueError(
                    f"weld model: expected {what} for {', '.join(MODALITIES)} in order, got {tuple(parts)}"
                )
        self.front_ends = front_ends
        self.encoders = encoders
        self.auxiliary: AuxiliaryHeads | None = None

    def forward(self, raw: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> WeldOutput:
        """Encode, then fuse; see `encode` and `fuse` for the arguments."""
        return self.fuse(self.encode(raw, valid), valid)

    def encode(self, raw: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tokens of every modality that is in `raw`.

        raw:     video (batch, frames, size, size, 3) uint8, image (batch, photos, size, size, 3) uint8, audio
                 (batch, samples) float in [-1, 1] with audio_samples (batch, 1) int, sensor (batch, steps,
                 channels) in physical units
        valid:   modality -> (batch, 1), or (batch, photos) for images, bool
        returns: modality -> (batch, tokens, width); tokens of rows that are not valid are zeros
        """
        return {name: self.encode_one(name, raw, valid[name]) for name in MODALITIES if name in raw}

    def encode_one(self, modality: str, raw: Mapping[str, Tensor], valid: Tensor) -> Tensor:
        """Tokens of one modality, (batch, tokens, width)."""
        inputs = (raw["audio"], raw["audio_samples"]) if modality == "audio" else (raw[modality],)
        tokens = self.encoders[modality](self.front_ends[modality](*inputs))
        return keep_valid(tokens, valid)

    def freeze_backbones(self) -> None:
        """Freeze the pretrained networks; sensor encoder, projections, fusion and heads go on learning."""
        for encoder in self.encoders.values():
            if isinstance(encoder, BackboneEncoder):
                encoder.freeze_backbone()

    def attach_auxiliary_heads(self, token_widths: Mapping[str, int]) -> AuxiliaryHeads:
        """Add the per-modality classifiers for training; token_widths: modality -> width of its tokens."""
        self.auxiliary = AuxiliaryHeads(token_widths).to(self.norm.weight.device)
        return self.auxiliary

    def auxiliary_logits(
        self, tokens: Mapping[str, Tensor], valid: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Logits of each modality alone, (batch, classes). RuntimeError if no heads are attached."""
        if self.auxiliary is None:
            raise RuntimeError(
                "weld model: expected auxiliary heads, got none; call attach_auxiliary_heads first"
            )
        return self.auxiliary(tokens, valid)


def keep_valid(tokens: Tensor, valid: Tensor) -> Tensor:
    """Zero the tokens of rows that are not valid, whatever they hold, NaN included.

    tokens: (batch, length, width); valid: (batch, 1 or length) bool
    """
    return tokens.masked_fill(~valid.unsqueeze(-1), 0.0)
