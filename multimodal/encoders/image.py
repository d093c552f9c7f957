"""Image encoder: DINOv2, one token per photo."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from transformers import Dinov2Config, Dinov2Model

from multimodal.encoders.backbone import EAGER, BackboneEncoder, load_backbone
from multimodal.front_ends import ImageNetNormalise
from multimodal.presets import Image

AGGREGATIONS = ("tokens_per_angle", "mean", "max", "concat")
POOLINGS = ("cls", "patch_mean")


class WeldImageEncoder(BackboneEncoder):
    """Photos of one weld from several angles to tokens.

    aggregation `tokens_per_angle`: one token a photo, its class token or the mean of its patches (`pooling`);
    `mean` and `max` combine the angles token by token, `concat` keeps every token of every angle.
    Source: Oquab et al., DINOv2 (arXiv 2304.07193).
    """

    def __init__(
        self,
        backbone: Dinov2Model,
        embed_dim: int | None = None,
        aggregation: str = "tokens_per_angle",
        pooling: str = "cls",
        freeze_backbone: bool = True,
    ) -> None:
        for what, chosen, known in (
            ("aggregation", aggregation, AGGREGATIONS),
            ("pooling", pooling, POOLINGS),
        ):
            if chosen not in known:
                raise ValueError(f"image {what}: expected one of {', '.join(known)}, got '{chosen}'")
        super().__init__(backbone, embed_dim, freeze_backbone)
        self.aggregation, self.pooling = aggregation, pooling
        self.normalise = ImageNetNormalise()

    @classmethod
    def from_preset(cls, image: Image) -> WeldImageEncoder:
        """Random weights at the preset's sizes, trainable."""
        sizes = image.transformer
        config = Dinov2Config(
            image_size=image.table_px,
            patch_size=image.patch_px,
            hidden_size=sizes.width,
            num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.heads,
            mlp_ratio=int(sizes.mlp_ratio),
            **EAGER,
        )
        return cls(Dinov2Model(config), freeze_backbone=False)

    @classmethod
    def from_pretrained(
        cls, source: str | Path, embed_dim: int | None = None, freeze_backbone: bool = True
    ) -> WeldImageEncoder:
        """Weights from a hub id (`facebook/dinov2-base`) or a folder. Raises OSError if unreachable."""
        return cls(load_backbone(Dinov2Model, source), embed_dim, freeze_backbone=freeze_backbone)

    def forward(self, photos: Tensor) -> Tensor:
        """Encode photos.

        photos:  (batch, angles, 3, height, width) in [0, 1], any number of angles
        returns: (batch, angles, embed_dim) for `tokens_per_angle`; (batch, 1 + patches, embed_dim) for
                 `mean` and `max`; (batch, angles * (1 + patches), embed_dim) for `concat`
        """
        batch, angles = photos.shape[:2]
        with self.gradient_scope():
            hidden = self.backbone(self.normalise(photos.flatten(0, 1))).last_hidden_state
        if self.aggregation == "tokens_per_angle":
            token = hidden[:, 0] if self.pooling == "cls" else hidden[:, 1:].mean(dim=1)
            return self.projection(token).unflatten(0, (batch, angles))
        hidden = self.projection(hidden).unflatten(
            0, (batch, angles)
        )  # (batch, angles, 1 + patches, embed_dim)
        return self._combine(hidden)

    def _combine(self, hidden: Tensor) -> Tensor:
        """(batch, angles, tokens, width) -> (batch, tokens or angles * tokens, width)."""
        if self.aggregation == "mean":
            return hidden.mean(dim=1)
        return torch.amax(hidden, dim=1) if self.aggregation == "max" else hidden.flatten(1, 2)
