"""Multi-head attention written out, so that its probabilities can be returned, masked and exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Finite, so that a row without any valid key gives numbers instead of 0/0; small enough for half precision.
MASKED_SCORE = -1e4


def masked_softmax(scores: Tensor, valid: Tensor | None) -> Tensor:
    """Softmax over the last axis in which keys that are not valid get exactly zero.

    scores: (batch, ..., keys); valid: (batch, keys) bool or None (all valid)
    returns: the same shape as scores; rows sum to 1, or are all zero where no key is valid
    """
    if valid is None:
        return scores.softmax(dim=-1)
    while valid.dim() < scores.dim():
        valid = valid.unsqueeze(1)
    probabilities = scores.masked_fill(~valid, MASKED_SCORE).softmax(dim=-1)
    return probabilities * valid.to(probabilities.dtype)


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention with separate query, key, value and output projections.

    Parameters: 4 width^2 + 4 width. The probabilities handed back are those before dropout, so their rows sum
    to one in training too.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(
                f"attention: expected a width that is a multiple of heads, got width {width}, heads {heads}"
            )
        self.heads = heads
        self.head_width = width // heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, keys: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Let every query read the keys.

        queries: (batch, questions, width); keys: (batch, length, width); valid: (batch, length) bool or None
        returns: answers (batch, questions, width), probabilities (batch, heads, questions, length)
        """
        query = self._split(self.query(queries))
        key = self._split(self.key(keys))
        value = self._split(self.value(keys))
        scores = torch.matmul(query, key.transpose(-2, -1)) * self.head_width**-0.5
        probabilities = masked_softmax(scores, valid)
        answers = torch.matmul(self.dropout(probabilities), value)  # (batch, heads, questions, head width)
        return self.out(answers.transpose(1, 2).flatten(2)), probabilities

    def _split(self, tokens: Tensor) -> Tensor:
        """(batch, length, width) -> (batch, heads, length, head width)."""
        return tokens.unflatten(-1, (self.heads, self.head_width)).transpose(1, 2)
