"""The relevance map without autograd, as plain tensor operations that any exporter takes.

Every step of the matching text encoder behind the chosen cross-attention comes with its pullback: a function
from the gradient of what the step returned to the gradient of what it was given. Run forwards, then chained
backwards from the match, they are the gradient that `relevance_by_autograd` asks autograd for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BlipForImageTextRetrieval

from multimodal.visual_question.relevance import MATCH, heat_of, require_layer

Pullback = Callable[[Tensor], Tensor]
Traced = tuple[Tensor, Pullback]


def norm(layer: nn.LayerNorm, given: Tensor) -> Traced:
    """LayerNorm over the last axis."""
    centred = given - given.mean(dim=-1, keepdim=True)
    scale = (centred.square().mean(dim=-1, keepdim=True) + layer.eps).rsqrt()
    unit = centred * scale

    def pull(gradient: Tensor) -> Tensor:
        inner = gradient * layer.weight
        along = unit * (inner * unit).mean(dim=-1, keepdim=True)
        return (inner - inner.mean(dim=-1, keepdim=True) - along) * scale

    return unit * layer.weight + layer.bias, pull


def gelu(given: Tensor) -> Traced:
    """The exact GELU, x times the normal distribution's share below x."""
    below = 0.5 * (1 + torch.erf(given * math.sqrt(0.5)))
    density = torch.exp(-0.5 * given.square()) / math.sqrt(2 * math.pi)
    return given * below, lambda gradient: gradient * (below + given * density)


def softmax_pull(probabilities: Tensor, gradient: Tensor) -> Tensor:
    """The gradient of scores from that of their softmax over the last axis."""
    weighed = probabilities * gradient
    return weighed - probabilities * weighed.sum(dim=-1, keepdim=True)


class _Heads:
    """Query, key and value of one attention of the text encoder, split into heads."""

    def __init__(self, attention: Any, states: Tensor, read: Tensor, bias: Tensor | None) -> None:
        self.parts, self.heads = attention, attention.num_attention_heads
        self.scale = attention.attention_head_size**-0.5
        self.query, self.key, self.value = (
            self.split(linear(tokens))
            for linear, tokens in (
                (attention.query, states),
                (attention.key, read),
                (attention.value, read),
            )
        )
        scores = torch.matmul(self.query, self.key.transpose(-2, -1)) * self.scale
        self.probabilities = (scores if bias is None else scores + bias).softmax(dim=-1)

    def split(self, tokens: Tensor) -> Tensor:
        """(batch, length, width) -> (batch, heads, length, head width)."""
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def context(self) -> Tensor:
        """What the queries read: (batch, length, width)."""
        return torch.matmul(self.probabilities, self.value).transpose(1, 2).flatten(2)

    def to_probabilities(self, gradient: Tensor) -> Tensor:
        """The gradient of the probabilities from that of the context: (batch, heads, length, keys)."""
        return torch.matmul(self.split(gradient), self.value.transpose(-2, -1))

    def to_queries(self, gradient: Tensor) -> Tensor:
        """The gradient of the queries' states from that of the context, keys and values held still."""
        return torch.matmul(self.joined(self._to_scores(gradient), self.key), self.parts.query.weight)

    def to_states(self, gradient: Tensor) -> Tensor:
        """The gradient of the states of a self-attention: queries, keys and values come from them."""
        to_scores = self._to_scores(gradient)
        keys = self.joined(to_scores.transpose(-2, -1), self.query)
        values = self.joined(self.probabilities.transpose(-2, -1), self.split(gradient))
        queries = torch.matmul(self.joined(to_scores, self.key), self.parts.query.weight)
        return (
            queries
            + torch.matmul(keys, self.parts.key.weight)
            + torch.matmul(values, self.parts.value.weight)
        )

    def _to_scores(self, gradient: Tensor) -> Tensor:
        return softmax_pull(self.probabilities, self.to_probabilities(gradient)) * self.scale

    @staticmethod
    def joined(weights: Tensor, read: Tensor) -> Tensor:
        """(batch, heads, length, keys) x (batch, heads, keys, head width) -> (batch, length, width)."""
        return torch.matmul(weights, read).transpose(1, 2).flatten(2)


def self_attention(block: Any, states: Tensor, bias: Tensor) -> Traced:
    """Attention of the text's tokens among themselves, its residual and norm."""
    heads = _Heads(block.self, states, states, bias)
    out, pull_norm = norm(block.output.LayerNorm, block.output.dense(heads.context()) + states)

    def pull(gradient: Tensor) -> Tensor:
        inner = pull_norm(gradient)
        return inner + heads.to_states(torch.matmul(inner, block.output.dense.weight))

    return out, pull


def cross_attention(block: Any, states: Tensor, image: Tensor) -> tuple[Tensor, Pullback, Pullback, Tensor]:
    """Attention of the text's tokens to the image, its residual and norm.

    returns: states, the pullback to the states before, the pullback to the probabilities, the probabilities
             (batch, heads, length, 1 + patches)
    """
    heads = _Heads(block.self, states, image, None)
    out, pull_norm = norm(block.output.LayerNorm, block.output.dense(heads.context()) + states)

    def pull(gradient: Tensor) -> Tensor:
        inner = pull_norm(gradient)
        return inner + heads.to_queries(torch.matmul(inner, block.output.dense.weight))

    def pull_probabilities(gradient: Tensor) -> Tensor:
        return heads.to_probabilities(torch.matmul(pull_norm(gradient), block.output.dense.weight))

    return out, pull, pull_probabilities, heads.probabilities


def feed_forward(layer: Any, states: Tensor) -> Traced:
    """Two linear layers with a GELU between them, residual and norm."""
    risen, pull_gelu = gelu(layer.intermediate.dense(states))
    out, pull_norm = norm(layer.output.LayerNorm, layer.output.dense(risen) + states)

    def pull(gradient: Tensor) -> Tensor:
        inner = pull_norm(gradient)
        widened = pull_gelu(torch.matmul(inner, layer.output.dense.weight))
        return inner + torch.matmul(widened, layer.intermediate.dense.weight)

    return out, pull


class RelevanceGraph(nn.Module):
    """Map and score of the matching model in one graph, equal to `relevance_by_autograd`.

    layer: the cross-attention that the map reads, from 0 on. The match depends on the first token alone, so
           that in the last layer the gradient is zero for every word, and words are all that the map counts
    Raises ValueError for such a layer, or an encoder with another activation than GELU.
    """

    def __init__(self, matching: BlipForImageTextRetrieval, layer: int) -> None:
        super().__init__()
        config: Any = matching.config.text_config
        require_layer(layer, config.num_hidden_layers)
        if config.hidden_act != "gelu":
            raise ValueError(
                f"relevance graph: expected the activation gelu, got {config.hidden_act}; use autograd"
            )
        self.embeddings = matching.text_encoder.embeddings
        self.layers = matching.text_encoder.encoder.layer
        self.head, self.layer = matching.itm_head, layer

    def forward(
        self, matching_tokens: Tensor, input_ids: Tensor, attention_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Tokens (batch, 1 + patches, width), ids and mask (batch, length) -> as `relevance_by_autograd`."""
        states = self.embeddings(input_ids)
        absent = (attention_mask == 0)[:, None, None]
        bias = torch.zeros_like(absent, dtype=states.dtype).masked_fill(absent, torch.finfo(states.dtype).min)
        pulls: list[Pullback] = []  # from the chosen cross-attention on, in the order in which they ran
        attention = states
        for place, layer in enumerate(self.layers):
            states, pull_self = self_attention(layer.attention, states, bias)
            states, pull_cross, pull_probabilities, read = cross_attention(
                layer.crossattention, states, matching_tokens
            )
            states, pull_forward = feed_forward(layer, states)
            if place == self.layer:
                attention = read
                pulls += [pull_probabilities, pull_forward]
            elif place > self.layer:
                pulls += [pull_self, pull_cross, pull_forward]
        logits = self.head(states[:, 0])  # (batch, 2)
        first = torch.arange(states.shape[1], device=states.device)[None, :, None] == 0
        gradient = first * self.head.weight[MATCH] + torch.zeros_like(states)  # (batch, length, width)
        for pull in reversed(pulls):
            gradient = pull(gradient)
        return heat_of(attention, gradient, attention_mask), logits.softmax(dim=1)[:, MATCH:]
