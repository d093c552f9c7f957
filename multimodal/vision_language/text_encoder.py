"""A text becomes one vector: BERT, its pooler, first token or mean, and a linear layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from multimodal.encoders.backbone import EAGER, load_backbone
from multimodal.encoders.feature_extractor import unknown_name
from multimodal.pretrained import minilm_folder
from multimodal.vision_language.presets import POOLINGS, Words


@dataclass(frozen=True)
class TextTrunk:
    """One entry of the table; shipped: where published weights of it lie, if a package ships them."""

    shipped: Callable[[], Path] | None = None


TEXT_TRUNKS: dict[str, TextTrunk] = {
    "bert-base": TextTrunk(),
    "minilm-l6": TextTrunk(minilm_folder),
    "bert-tiny": TextTrunk(),
}


def bert_of(words: Words) -> BertModel:
    """A BERT of a preset's sizes with random weights."""
    config = BertConfig(
        vocab_size=words.vocabulary,
        hidden_size=words.width,
        num_hidden_layers=words.layers,
        num_attention_heads=words.heads,
        intermediate_size=words.inner,
        max_position_embeddings=512,
        **EAGER,
    )
    return BertModel(config, add_pooling_layer=words.pooling == "pooler")


def load_bert(source: str | Path, pooling: str = "pooler") -> BertModel:
    """Published weights from a hub id or a folder, in float32; OSError where there are none."""
    model = load_backbone(BertModel, source)
    if pooling != "pooler":
        model.pooler = None  # loaded and dropped: left out, it would be reported as a weight too many
    return model


class TextEncoder(nn.Module):
    """BERT, pooled, Linear(its width -> feature_dim).

    backbone: any BertModel; BERT-base with random weights when left out
    pooling:  "pooler", "cls", or "mean" over the tokens that are no padding
    With BERT-base and its pooler: 109,482,240 + 393,728 parameters.
    """

    def __init__(
        self, feature_dim: int = 512, backbone: BertModel | None = None, pooling: str = "pooler"
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise unknown_name("text pooling", pooling, POOLINGS)
        self.backbone = backbone or BertModel(BertConfig(**EAGER))
        if pooling == "pooler" and self.backbone.pooler is None:
            raise ValueError(
                "text encoder: expected a BERT with a pooler, got one without; use pooling cls or mean"
            )
        self.pooling = pooling
        self.pooled_dim = int(self.backbone.config.hidden_size)
        self.projection = nn.Linear(self.pooled_dim, feature_dim)
        self.frozen = False

    def freeze_backbone(self) -> None:
        """Stop training BERT; the projection goes on learning."""
        self.frozen = True
        self.backbone.requires_grad_(False)
        self.backbone.eval()

    def train(self, mode: bool = True) -> TextEncoder:
        """Switch mode as usual, but leave a frozen BERT in eval mode."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def pool(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Both (batch, length) int64 -> (batch, pooled_dim), what a frozen BERT never changes.

        TypeError for a mask of another type: a float mask would be added to the scores, not applied.
        """
        if attention_mask.dtype != torch.int64:
            raise TypeError(
                f"text encoder: expected an int64 attention mask, got {attention_mask.dtype}; pass the "
                "tokenizer's own"
            )
        said = self.backbone(input_ids=input_ids, attention_mask=attention_mask)
        if self.pooling == "pooler":
            return said.pooler_output
        states = said.last_hidden_state  # (batch, length, width)
        if self.pooling == "cls":
            return states[:, 0]
        kept = attention_mask.unsqueeze(-1).to(states.dtype)
        return (states * kept).sum(dim=1) / kept.sum(dim=1).clamp(min=1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Both (batch, length) int64 -> (batch, feature_dim)."""
        return self.projection(self.pool(input_ids, attention_mask))
