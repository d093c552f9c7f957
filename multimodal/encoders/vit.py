"""Vision Transformer: its class token and learned questions to its patches, halved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ViTConfig, ViTModel

from multimodal.attention import MultiHeadAttention
from multimodal.encoders.backbone import EAGER, load_backbone
from multimodal.encoders.feature_extractor import (
    STRIDES,
    BackboneExtractor,
    StageBackbone,
    Stages,
    unknown_name,
)

VITS: dict[str, dict[str, Any]] = {
    "vit_tiny_patch16_224": {"hidden_size": 192, "num_hidden_layers": 12, "num_attention_heads": 3},
    "vit_small_patch16_224": {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6},
    "vit_base_patch16_224": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
    "vit_large_patch16_224": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16},
    # For tests.
    "vit_tiny_patch16_32": {
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "image_size": 32,
    },
}


class ViTBackbone(StageBackbone):
    """ViT without its pooler, for pictures of any size: positions are interpolated.

    The four stage maps are the patches after a quarter, a half, three quarters and all of the layers,
    resized from stride 16 to strides 4, 8, 16 and 32.
    Sources: Dosovitskiy et al., ViT (arXiv 2010.11929); Ranftl et al., DPT (arXiv 2103.13413) for the maps.
    """

    def __init__(self, model: ViTModel) -> None:
        config: Any = model.config
        width, layers = config.hidden_size, config.num_hidden_layers
        super().__init__(width, (width,) * 4, config.num_channels, config.image_size)
        model.pooler = None
        self.model, self.patch_px = model, config.patch_size
        # After which layers a map is read; ViTs of fewer than four layers read some of them twice.
        self.depths = tuple(max(1, layers * quarter // 4) for quarter in (1, 2, 3, 4))

    @classmethod
    def from_name(cls, name: str = "vit_base_patch16_224", in_channels: int = 3) -> ViTBackbone:
        """Random weights at the sizes of `VITS`, else ValueError."""
        if name not in VITS:
            raise unknown_name("vit", name, VITS)
        sizes = VITS[name]
        sizes = {"intermediate_size": 4 * sizes["hidden_size"], **sizes}
        return cls(ViTModel(ViTConfig(num_channels=in_channels, **sizes, **EAGER), add_pooling_layer=False))

    @classmethod
    def from_pretrained(cls, source: str | Path) -> ViTBackbone:
        """Weights from a hub id (`google/vit-base-patch16-224`) or a folder, else OSError."""
        return cls(load_backbone(ViTModel, source))

    def run(self, x: Tensor) -> Stages:
        """(batch, in_channels, height, width) -> stages."""
        height, width = x.shape[2:]
        grid = height // self.patch_px, width // self.patch_px
        hidden = self.model.embeddings(x, interpolate_pos_encoding=True)  # (batch, 1 + patches, width)
        after = {}
        for depth, layer in enumerate(self.model.layers, start=1):
            hidden = layer(hidden)
            after[depth] = hidden
        hidden = after[self.depths[-1]] = self.model.layernorm(hidden)
        maps = tuple(
            nn.functional.interpolate(
                patch_grid(after[depth], grid), (height // stride, width // stride), mode="bilinear"
            )
            for depth, stride in zip(self.depths, STRIDES, strict=True)
        )
        return Stages(maps, patch_grid(hidden, grid), hidden[:, 0])

    def stage_sides(self, size_px: int) -> tuple[int, ...]:
        """Sides of the four maps of a square picture of size_px."""
        return tuple(size_px // stride for stride in STRIDES)


class ViTExtractor(BackboneExtractor):
    """One projection for every token; then the class token and what learned questions find, averaged.

    pool_heads, num_queries: of the attention that pools the patches; out_dim must be a multiple of pool_heads
    drop_rate, attn_drop_rate: dropout in the projection and of the pooling attention
    """

    def __init__(
        self,
        backbone: ViTBackbone | None = None,
        out_dim: int = 512,
        pool_heads: int = 8,
        num_queries: int = 4,
        drop_rate: float = 0.1,
        attn_drop_rate: float = 0.1,
    ) -> None:
        super().__init__(backbone or ViTBackbone.from_name(), out_dim)
        width = self.backbone.feature_dim
        self.projection = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, width // 2),
            nn.GELU(),
            nn.Dropout(drop_rate),
            nn.Linear(width // 2, out_dim),
            nn.LayerNorm(out_dim),
        )
        self.queries = nn.Parameter(torch.randn(1, num_queries, out_dim) * 0.02)
        self.pooling = MultiHeadAttention(out_dim, pool_heads, attn_drop_rate)

    @classmethod
    def from_name(
        cls, name: str = "vit_base_patch16_224", out_dim: int = 512, in_channels: int = 3, **head: Any
    ) -> ViTExtractor:
        """Random weights at the sizes of `VITS`; head: pool_heads, num_queries, drop_rate, attn_drop_rate."""
        return cls(ViTBackbone.from_name(name, in_channels), out_dim, **head)

    @classmethod
    def from_pretrained(cls, source: str | Path, out_dim: int = 512, **head: Any) -> ViTExtractor:
        """Backbone weights from a hub id or a folder, else OSError; the head is random."""
        return cls(ViTBackbone.from_pretrained(source), out_dim, **head)

    def vector(self, stages: Stages) -> Tensor:
        """(batch, out_dim)."""
        questions = self.queries.expand(stages.summary.shape[0], -1, -1)
        answers, _ = self.pooling(questions, self.tokens(stages))
        return (self.projection(stages.summary) + answers.mean(dim=1)) / 2

    def tokens(self, stages: Stages) -> Tensor:
        """(batch, patches, out_dim), without the class token."""
        return self.projection(stages.last.flatten(2).transpose(1, 2))


def patch_grid(hidden: Tensor, grid: tuple[int, int]) -> Tensor:
    """(batch, 1 + patches, width) -> (batch, width, rows, columns), without the class token."""
    return hidden[:, 1:].transpose(1, 2).unflatten(2, grid)
