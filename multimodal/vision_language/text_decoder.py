"""A text is told from a fused vector: the optional third head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

PREFIXES = range(1, 5)


class TextDecoder(nn.Module):
    """A small causal Transformer whose first tokens are projections of the fused vector.

    Token i of the target is predicted from the prefix and the tokens before i; embedding and output share
    their weights.
    prefix_tokens: 1 to 4; max_tokens: longest target
    """

    def __init__(
        self,
        fused_dim: int,
        vocabulary: int,
        width: int = 256,
        layers: int = 2,
        heads: int = 4,
        prefix_tokens: int = 2,
        max_tokens: int = 64,
    ) -> None:
        super().__init__()
        if prefix_tokens not in PREFIXES:
            raise ValueError(f"text decoder: expected 1 to 4 prefix tokens, got {prefix_tokens}")
        self.prefix_tokens, self.max_tokens = prefix_tokens, max_tokens
        self.prefix = nn.Linear(fused_dim, prefix_tokens * width)
        self.embedding = nn.Embedding(vocabulary, width)
        # Tied to the output: at the default deviation of 1 the first logits would be in the tens.
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.positions = nn.Parameter(torch.randn(prefix_tokens + max_tokens - 1, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.1, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, fused: Tensor, target_ids: Tensor) -> Tensor:
        """Logits of every target token, each given the true ones before it.

        fused: (batch, fused_dim); target_ids: (batch, length) int64
        returns: (batch, length, vocabulary); ValueError for a target longer than max_tokens
        """
        length = target_ids.shape[1]
        if not 1 <= length <= self.max_tokens:
            raise ValueError(
                f"text decoder: expected targets of 1 to {self.max_tokens} tokens, got {length}; cut them"
            )
        prefix = self.prefix(fused).unflatten(1, (self.prefix_tokens, -1))
        tokens = torch.cat([prefix, self.embedding(target_ids[:, :-1])], dim=1)
        tokens = tokens + self.positions[: tokens.shape[1]]  # (batch, prefix + length - 1, width)
        steps = tokens.shape[1]
        later = torch.ones(steps, steps, dtype=torch.bool, device=tokens.device).triu(1)
        states = self.blocks(tokens, mask=later)[:, self.prefix_tokens - 1 :]
        return states @ self.embedding.weight.T
