"""Video encoder: V-JEPA 2, pooled to one token per stretch of time."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from torch import Tensor
from transformers import VJEPA2Config, VJEPA2Model

from multimodal.encoders.backbone import EAGER, BackboneEncoder, load_backbone
from multimodal.encoders.pooling import pool_tokens
from multimodal.encoders.rope import use_rotary_tables
from multimodal.front_ends import ImageNetNormalise
from multimodal.presets import Video


class WeldVideoEncoder(BackboneEncoder):
    """Frames to `out_tokens` tokens in time order, each a mean over space.

    Source: Assran et al., V-JEPA 2 (arXiv 2506.09985). The predictor is dropped: its 22 M parameters take no
    part in encoding. Positions are rotary and follow the config's crop size, so frames must be squares of
    exactly that size.
    """

    backbone: VJEPA2Model

    def __init__(
        self,
        backbone: VJEPA2Model,
        embed_dim: int | None = None,
        out_tokens: int = 8,
        freeze_backbone: bool = True,
    ) -> None:
        if hasattr(backbone, "predictor"):
            del backbone.predictor
        use_rotary_tables(backbone)
        super().__init__(backbone, embed_dim, freeze_backbone)
        self.out_tokens = out_tokens
        self.normalise = ImageNetNormalise()

    @classmethod
    def from_preset(cls, video: Video) -> WeldVideoEncoder:
        """Random weights at the preset's sizes, trainable."""
        sizes = video.transformer
        config = VJEPA2Config(
            patch_size=video.patch_px,
            crop_size=video.size_px,
            frames_per_clip=video.frames,
            tubelet_size=video.tubelet_frames,
            hidden_size=sizes.width,
            num_attention_heads=sizes.heads,
            num_hidden_layers=sizes.layers,
            mlp_ratio=sizes.mlp_ratio,
            pred_num_hidden_layers=0,  # never used here, so never built
            **EAGER,
        )
        return cls(VJEPA2Model(config), out_tokens=video.tokens, freeze_backbone=False)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        embed_dim: int | None = None,
        out_tokens: int = 8,
        freeze_backbone: bool = True,
    ) -> WeldVideoEncoder:
        """Weights from a hub id (`facebook/vjepa2-vitl-fpc64-256`) or a folder, else OSError."""
        return cls(load_backbone(VJEPA2Model, source), embed_dim, out_tokens, freeze_backbone)

    def forward(self, frames: Tensor) -> Tensor:
        """Encode clips.

        frames:  (batch, time, 1 or 3, size, size) in [0, 1]; grey is repeated to three channels
        returns: (batch, out_tokens, embed_dim)
        Raises ValueError when the frames are not squares of the config's crop size.
        """
        size = self.backbone.config.crop_size
        if frames.shape[-2:] != (size, size):
            raise ValueError(
                f"video: expected frames of {size}x{size} px, got {frames.shape[-2]}x{frames.shape[-1]}; "
                "resize them, or build the encoder with that crop size"
            )
        if frames.shape[2] == 1:
            frames = frames.repeat(1, 1, 3, 1, 1)
        with self.gradient_scope():
            hidden = self.backbone.encoder(pixel_values_videos=self.normalise(frames)).last_hidden_state
        patches = (size // cast(int, self.backbone.config.patch_size)) ** 2
        slices = hidden.unflatten(1, (hidden.shape[1] // patches, patches)).mean(
            dim=2
        )  # (batch, slices, width)
        return self.projection(pool_tokens(slices, self.out_tokens))
