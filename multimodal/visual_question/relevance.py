"""Which patches of an image a question is about: cross-attention, weighted by what it does to the match.

Sources: Tiong et al., "Plug-and-Play VQA" (arXiv 2210.08773); Selvaraju et al., "Grad-CAM"
(arXiv 1610.02391).
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import BlipForImageTextRetrieval

MATCH = 1  # column of the matching head: 0 says that image and text do not belong together
AROUND_A_TEXT = 2  # special tokens of a text: one before, one behind


def require_layer(layer: int, layers: int) -> None:
    """ValueError unless a gradient reaches the words' rows of this layer's cross-attention.

    The match is read off the first token. What other tokens find in the image of the last layer never reaches
    it, so that all rows which make up the map would be zero there.
    """
    if not 0 <= layer < layers - 1:
        raise ValueError(
            f"relevance map: expected a cross-attention layer from 0 to {layers - 2}, got {layer}; the last "
            f"of the {layers} layers moves the first token alone, which the map leaves out"
        )


def heat_of(attention: Tensor, gradient: Tensor, attention_mask: Tensor) -> Tensor:
    """Attention where it speaks for a match, averaged over heads and over the words of the text.

    attention:      (batch, heads, length, 1 + patches), probabilities
    gradient:       of the match by `attention`, the same shape
    attention_mask: (batch, length) int64; a text has its special token before and behind its words
    returns: (batch, patches), >= 0
    """
    spoken = (attention * gradient.clamp(min=0))[..., 1:].mean(dim=1)  # (batch, length, patches)
    words = (attention_mask.sum(dim=1, keepdim=True) - AROUND_A_TEXT).clamp(min=1)  # (batch, 1)
    place = torch.arange(attention_mask.shape[1], device=attention_mask.device)[None]
    counted = ((place >= 1) & (place <= words)).to(spoken.dtype) * attention_mask
    return (spoken * counted[..., None]).sum(dim=1) / words


def relevance_by_autograd(
    matching: BlipForImageTextRetrieval,
    matching_tokens: Tensor,
    input_ids: Tensor,
    attention_mask: Tensor,
    layer: int,
) -> tuple[Tensor, Tensor]:
    """The map and the score of the match, from the matching model's own features of the image.

    matching_tokens: (batch, 1 + patches, width); input_ids, attention_mask: (batch, length) int64
    returns: (batch, patches) >= 0, (batch, 1) probability that they belong together; no graph stays behind
    Raises ValueError for a layer that the map cannot be read from.
    """
    require_layer(layer, len(matching.text_encoder.encoder.layer))
    with torch.enable_grad():
        # A leaf of its own: frozen or not, weights get no gradient, and nothing is left behind.
        seen = matching_tokens.detach().requires_grad_()
        said = matching.text_encoder(
            input_ids=input_ids,
            attention_mask=attention_mask,
            encoder_hidden_states=seen,
            output_attentions=True,
        )
        logits = matching.itm_head(said.last_hidden_state[:, 0])  # (batch, 2)
        attention = said.cross_attentions[layer]
        (gradient,) = torch.autograd.grad(logits[:, MATCH].sum(), attention)
    heat = heat_of(attention.detach(), gradient, attention_mask)
    return heat, logits.detach().softmax(dim=1)[:, MATCH:]
