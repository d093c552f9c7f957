"""V-JEPA 2's rotary positions as constant tables.

The original computes angles from token ids in every layer of every call; in the exported graph that is three
quarters of all nodes. The positions never change, so the tables are read out of the original once and shared
by all layers.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from transformers import VJEPA2Config, VJEPA2Model
from transformers.models.vjepa2.modeling_vjepa2 import VJEPA2RopeAttention


class RotaryTables(nn.Module):
    """Cosines and sines (tokens, head width) and the quarter turn of lane pairs (head width, head width)."""

    cosine: Tensor
    sine: Tensor
    turn: Tensor

    def __init__(self, attention: VJEPA2RopeAttention) -> None:
        super().__init__()
        width = attention.attention_head_size
        tokens = attention.grid_depth * attention.grid_size**2
        even = (torch.arange(width) % 2 == 0).float()
        turned_even, turned_odd = (self._probe(attention, lanes, tokens) for lanes in (even, 1 - even))
        self.register_buffer("cosine", turned_even * even + turned_odd * (1 - even), persistent=False)
        self.register_buffer("sine", turned_even * (1 - even) - turned_odd * even, persistent=False)
        # Row i says where lane i goes: even lanes to the odd neighbour, odd lanes negated to the even one.
        turn = torch.diag(even[:-1], 1) - torch.diag(even[:-1], -1)
        self.register_buffer("turn", turn, persistent=False)

    @staticmethod
    def _probe(attention: VJEPA2RopeAttention, lanes: Tensor, tokens: int) -> Tensor:
        """What the original rotation makes of a constant query: (tokens, head width)."""
        query = lanes.expand(1, 1, tokens, lanes.numel())
        positions = attention.get_position_ids(lanes.expand(1, tokens, lanes.numel()))
        return attention.apply_rotary_embeddings(query, positions)[0, 0]

    def forward(self, query: Tensor) -> Tensor:
        """Rotate (batch, heads, tokens, head width) by the position of each token."""
        tokens = query.shape[2]
        if tokens > self.cosine.shape[0]:
            raise ValueError(
                f"video: expected at most {self.cosine.shape[0]} tokens, got {tokens}; "
                "raise the config's frames_per_clip and build the encoder again"
            )
        return query * self.cosine[:tokens] + torch.matmul(query, self.turn) * self.sine[:tokens]


class TableRopeAttention(VJEPA2RopeAttention):
    """V-JEPA 2's attention with the rotation taken from tables; parameters keep their names."""

    tables: RotaryTables

    def get_position_ids(self, x: Tensor, masks: Tensor | None = None) -> None:
        """Nothing: a token's position is its row in the tables. Masked (gathered) tokens have no such row."""
        if masks is not None:
            raise ValueError(
                "video: expected whole clips, got a position mask; keep the original attention for that"
            )

    def apply_rotary_embeddings(self, qk: Tensor, pos_ids: None) -> Tensor:
        """Rotate (batch, heads, tokens, head width)."""
        return self.tables(qk)


def use_rotary_tables(model: VJEPA2Model) -> None:
    """Replace the attention of every encoder layer in place; weights stay the same tensors."""
    config: VJEPA2Config = model.config
    tables: RotaryTables | None = None
    for layer in model.encoder.layer:
        original = cast(VJEPA2RopeAttention, layer.attention)
        tables = tables or RotaryTables(original)
        with torch.device("meta"):  # its fresh weights are never used, so they get no memory
            attention = TableRopeAttention(config, config.hidden_size, config.num_attention_heads)
        for name, part in original.named_children():
            setattr(attention, name, part)
        attention.tables = tables
        attention.train(original.training)
        layer.attention = attention
