"""Cross-attention fusion: a few learned questions are put to every modality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from multimodal.attention import MultiHeadAttention
from multimodal.presets import Fusion
from multimodal.weld_classes import MODALITIES

WELD_BASE_WIDTHS: Mapping[str, int] = dict(zip(MODALITIES, (1024, 768, 768, 256), strict=True))
WELD_BASE_FUSION = Fusion(width=512, heads=8, tokens=4)


def require_widths(token_widths: Mapping[str, int]) -> None:
    """Refuse an empty set of modalities and widths below one."""
    if not token_widths:
        raise ValueError("fusion: expected at least one modality with its token width, got none")
    for name, width in token_widths.items():
        if width < 1:
            raise ValueError(f"fusion: expected a positive token width for {name}, got {width}")


class WeldCrossAttentionFusion(nn.Module):
    """Learned tokens question each modality with weights of its own; the answers are joined by an MLP.

    token_widths: modality -> width of its tokens; the order is the order in which answers are concatenated
    sizes:        width, heads and number of the learned tokens
    dropout:      on attention probabilities and inside the MLP; proj_dropout: before every projection
                  (training only)
    """

    def __init__(
        self,
        token_widths: Mapping[str, int] = WELD_BASE_WIDTHS,
        sizes: Fusion = WELD_BASE_FUSION,
        dropout: float = 0.1,
        proj_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        require_widths(token_widths)
        self.modalities = tuple(token_widths)
        self.width, self.token_count = sizes.width, sizes.tokens
        self.fusion_tokens = nn.Parameter(torch.empty(1, sizes.tokens, sizes.width))
        nn.init.trunc_normal_(self.fusion_tokens, std=0.02)
        self.projections = nn.ModuleDict(
            {name: nn.Linear(width, sizes.width) for name, width in token_widths.items()}
        )
        self.attentions = nn.ModuleDict(
            {name: MultiHeadAttention(sizes.width, sizes.heads, dropout) for name in token_widths}
        )
        self.norms = nn.ModuleDict({name: nn.LayerNorm(sizes.width) for name in token_widths})
        joined = len(token_widths) * sizes.tokens * sizes.width
        self.aggregate = nn.Sequential(
            nn.Linear(joined, 2 * sizes.width),
            nn.LayerNorm(2 * sizes.width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * sizes.width, sizes.width),
        )
        self.output = nn.Linear(sizes.width, sizes.width)
        self.proj_dropout = nn.Dropout(proj_dropout)

    def forward(
        self,
        tokens: Mapping[str, Tensor],
        masks: Mapping[str, Tensor] | None = None,
        present: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Any]]:
        """Fuse the tokens of all modalities.

        tokens:  modality -> (batch, length, width of that modality)
        masks:   modality -> (batch, length) bool, True = valid; a modality left out is valid throughout
        present: (batch, modalities) bool; an absent modality leaves the learned tokens as they were
        returns: fused (batch, width), {"attention": modality -> (batch, fusion tokens, length), head mean}
        """
        attention: dict[str, Tensor] = {}
        answers: list[Tensor] = []
        for index, name in enumerate(self.modalities):
            mask = None if masks is None else masks.get(name)
            answer, attention[name] = self._question(name, tokens[name], mask)
            if present is not None:
                answer = answer * present[:, index, None, None].to(answer.dtype)
            answers.append(self.norms[name](answer + self.fusion_tokens))
        joined = torch.cat(answers, dim=1).flatten(1)  # (batch, modalities * fusion tokens * width)
        return self.output(self.proj_dropout(self.aggregate(joined))), {"attention": attention}

    def _question(self, name: str, tokens: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """One modality's answers (batch, fusion tokens, width), attention (batch, fusion tokens, length)."""
        keys = self.projections[name](self.proj_dropout(tokens))
        questions = self.fusion_tokens.expand(keys.shape[0], self.token_count, self.width)
        answer, probabilities = self.attentions[name](questions, keys, mask)
        return answer, probabilities.mean(dim=1)
