"""Two visual streams through shared attention, each with norms of its own, then summed and encoded on.

Source: Wu et al., "DIFNet: Boosting Visual Information Flow for Image Captioning" (CVPR 2022).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from multimodal.visual_question.presets import FusionSizes

STREAMS = 2


class StreamAttention(nn.Module):
    """Multi-head self-attention whose heads are as wide as one likes, whatever the tokens' width."""

    def __init__(self, width: int, heads: int, key_width: int, value_width: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.key_width = heads, key_width
        self.query = nn.Linear(width, heads * key_width)
        self.key = nn.Linear(width, heads * key_width)
        self.value = nn.Linear(width, heads * value_width)
        self.out = nn.Linear(heads * value_width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, valid: Tensor | None) -> Tensor:
        """(batch, length, width), (batch, length) bool or None -> (batch, length, width).

        A row without any valid position attends evenly: finite, and whoever masked it does not read it.
        """
        query, key, value = (
            part(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (batch, heads, length, head width)
            for part in (self.query, self.key, self.value)
        )
        scores = torch.matmul(query, key.transpose(-2, -1)) * self.key_width**-0.5
        if valid is not None:
            scores = scores.masked_fill(~valid[:, None, None], torch.finfo(scores.dtype).min)
        mixed = torch.matmul(self.dropout(scores.softmax(dim=-1)), value)
        return self.out(mixed.transpose(1, 2).flatten(2))


class DualStreamLayer(nn.Module):
    """Attention and feed-forward that both streams share; the norms are each stream's own.

    independent_attn_norm: whether that holds for the norm within the attention too. Published weights were
    trained without: there the first stream's serves both, and the second is never used.
    """

    def __init__(self, sizes: FusionSizes, value_width: int, independent_attn_norm: bool) -> None:
        super().__init__()
        width = sizes.width
        self.independent_attn_norm = independent_attn_norm
        self.attention = StreamAttention(width, sizes.heads, sizes.head_width, value_width, sizes.dropout)
        self.widen = nn.Linear(width, sizes.feed_forward)
        self.narrow = nn.Linear(sizes.feed_forward, width)
        self.dropout = nn.Dropout(sizes.dropout)
        self.attention_norms, self.outer_norms, self.feed_forward_norms = (
            nn.ModuleList(nn.LayerNorm(width) for _ in range(STREAMS)) for _ in range(3)
        )

    def forward(self, tokens: Tensor, valid: Tensor | None, stream: int) -> Tensor:
        """(batch, length, width) of stream 0 or 1 -> the same shape.

        There is a residual around the attention within its norm, and another around both.
        """
        inner = self.attention_norms[stream if self.independent_attn_norm else 0]
        attended = inner(tokens + self.dropout(self.attention(tokens, valid)))
        tokens = self.outer_norms[stream](tokens + self.dropout(attended))
        risen = self.dropout(torch.relu(self.widen(tokens)))
        return self.feed_forward_norms[stream](tokens + self.dropout(self.narrow(risen)))


class DualStreamFusionEncoder(nn.Module):
    """Encode two streams one beside the other, add them before layer `fuse_layer`, encode the sum on.

    n_layers:   at least fuse_layer + 1; fuse_layer 0 adds the streams as they come
    iterations: how often a layer before the sum is repeated
    d_k, d_v:   widths of a head's keys and values; heads * d_k need not be d_model
    Parameters: 14,198,784 with the defaults. Raises ValueError unless fuse_layer is one of the layers.
    """

    def __init__(  # noqa: PLR0913  the published signature
        self,
        d_model: int = 768,
        n_layers: int = 3,
        fuse_layer: int = 1,
        iterations: int = 2,
        n_heads: int = 8,
        d_k: int = 64,
        d_v: int = 64,
        d_ff: int = 2048,
        dropout: float = 0.1,
        independent_attn_norm: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= fuse_layer < n_layers:
            raise ValueError(
                f"dual-stream fusion: expected a fuse_layer from 0 to {n_layers - 1}, got {fuse_layer}; the "
                "streams are added before that layer, so one has to follow"
            )
        if iterations < 1:
            raise ValueError(f"dual-stream fusion: expected at least 1 iteration, got {iterations}")
        self.width, self.fuse_layer, self.iterations = d_model, fuse_layer, iterations
        sizes = FusionSizes(d_model, n_layers, fuse_layer, iterations, n_heads, d_k, d_ff, dropout)
        self.layers = nn.ModuleList(
            DualStreamLayer(sizes, d_v, independent_attn_norm) for _ in range(n_layers)
        )
        for module in self.modules():
            if isinstance(module, StreamAttention):
                _initialise(module)

    @classmethod
    def of(cls, sizes: FusionSizes) -> DualStreamFusionEncoder:
        """At the sizes of a preset."""
        return cls(
            sizes.width,
            sizes.layers,
            sizes.fuse_layer,
            sizes.iterations,
            sizes.heads,
            sizes.head_width,
            sizes.head_width,
            sizes.feed_forward,
            sizes.dropout,
        )

    def forward(
        self, a: Tensor, b: Tensor, a_valid: Tensor | None = None, b_valid: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Fuse streams of one length.

        a, b:             (batch, length, width)
        a_valid, b_valid: (batch, length) bool, True for what counts; None where everything does
        returns: fused (batch, length, width), valid (batch, length): what is valid in either stream
        Raises ValueError for streams of different shapes.
        """
        if a.shape != b.shape:
            raise ValueError(
                f"dual-stream fusion: expected two streams of one shape (batch, length, {self.width}), got "
                f"{tuple(a.shape)} and {tuple(b.shape)}; resize one grid to the other's first"
            )
        for layer in self.layers[: self.fuse_layer]:
            for _ in range(self.iterations):
                a, b = layer(a, a_valid, 0), layer(b, b_valid, 1)
        a, b = _only(a, a_valid), _only(b, b_valid)
        valid = None if a_valid is None or b_valid is None else a_valid | b_valid
        fused = a + b
        for layer in self.layers[self.fuse_layer :]:
            fused = layer(fused, valid, 0)
        everything = torch.ones(a.shape[:2], dtype=torch.bool, device=a.device)
        return fused + a + b, everything if valid is None else valid


def _only(tokens: Tensor, valid: Tensor | None) -> Tensor:
    """Zero what is not valid, whatever it holds."""
    return tokens if valid is None else tokens.masked_fill(~valid[..., None], 0)


def _initialise(attention: StreamAttention) -> None:
    for part in (attention.query, attention.key, attention.value, attention.out):
        nn.init.xavier_uniform_(part.weight)
        nn.init.zeros_(part.bias)
