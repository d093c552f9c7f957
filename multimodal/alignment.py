"""Bring two modalities into one space: projections, cross-modal reading, a loss that pulls pairs together.

Source of the contrastive term: Oord et al., Representation Learning with Contrastive Predictive Coding
(arXiv 1807.03748), symmetric as in Radford et al. (arXiv 2103.00020).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from multimodal.attention import MultiHeadAttention

CONTEXTS = ("pair", "batch")


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(f"alignment: {sentence}")


def mean_of_valid(tokens: Tensor, valid: Tensor | None) -> Tensor:
    """Average tokens that count, (batch, length, width) -> (batch, width); zeros where none does."""
    if valid is None:
        return tokens.mean(dim=1)
    weights = valid.to(tokens.dtype).unsqueeze(-1)  # (batch, length, 1)
    return (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


class CrossModalAlignment(nn.Module):
    """Project two modalities to one width and let each read the other through one shared attention.

    feature_dim, projection_dim: width of both inputs, and of everything that comes out
    context: what a single vector reads. "pair": its partner; over one key every softmax is 1, so the answer
             is exactly out(value(partner)) and query and key projections never learn. "batch": the partners
             of all rows, so that it has a choice; rows of a batch then depend on each other
    525,824 parameters at 512 -> 256. The temperature is the loss's alone.
    """

    def __init__(
        self,
        feature_dim: int = 512,
        projection_dim: int = 256,
        num_heads: int = 8,
        dropout: float = 0.0,
        context: str = "pair",
    ) -> None:
        super().__init__()
        _require(feature_dim >= 1, f"expected feature_dim of at least 1, got {feature_dim}")
        _require(context in CONTEXTS, f"expected context {' or '.join(CONTEXTS)}, got '{context}'")
        self.context = context
        self.feature_dim = feature_dim
        self.project_a = nn.Linear(feature_dim, projection_dim)
        self.project_b = nn.Linear(feature_dim, projection_dim)
        self.attention = MultiHeadAttention(projection_dim, num_heads, dropout)

    def forward(
        self, a: Tensor, b: Tensor, a_valid: Tensor | None = None, b_valid: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Align two modalities of the same rows.

        a, b: (batch, feature_dim) both, or (batch, length, feature_dim) both, lengths each for itself
        a_valid, b_valid: (batch, length) bool, which tokens count; for token sequences only
        returns: projected_A, projected_B, semantic_A, semantic_B (batch, projection_dim), sequences averaged
                 over their valid tokens; attention_A, attention_B: who read what, (batch, heads, queries,
                 keys), in context "batch" of vectors (1, heads, batch, batch)
        """
        self._check(a, b, a_valid, b_valid)
        asked_a, asked_b = self.project_a(a), self.project_b(b)
        if a.dim() == 2:
            return self._align_vectors(asked_a, asked_b)
        semantic_a, attention_a = self.attention(asked_a, asked_b, b_valid)
        semantic_b, attention_b = self.attention(asked_b, asked_a, a_valid)
        return {
            "projected_A": mean_of_valid(asked_a, a_valid),
            "projected_B": mean_of_valid(asked_b, b_valid),
            "semantic_A": mean_of_valid(semantic_a, a_valid),
            "semantic_B": mean_of_valid(semantic_b, b_valid),
            "attention_A": attention_a,
            "attention_B": attention_b,
        }

    def _align_vectors(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        """Vectors as sequences: of one token each, or the whole batch as one sequence."""
        axis = 1 if self.context == "pair" else 0  # (batch, 1, width) or (1, batch, width)
        tokens_a, tokens_b = a.unsqueeze(axis), b.unsqueeze(axis)
        semantic_a, attention_a = self.attention(tokens_a, tokens_b)
        semantic_b, attention_b = self.attention(tokens_b, tokens_a)
        return {
            "projected_A": a,
            "projected_B": b,
            "semantic_A": semantic_a.squeeze(axis),
            "semantic_B": semantic_b.squeeze(axis),
            "attention_A": attention_a,
            "attention_B": attention_b,
        }

    def _check(self, a: Tensor, b: Tensor, a_valid: Tensor | None, b_valid: Tensor | None) -> None:
        width = self.feature_dim
        _require(
            a.dim() == b.dim() and a.dim() in (2, 3) and a.shape[-1] == width == b.shape[-1],
            f"expected two of (batch, {width}) or two of (batch, length, {width}), got {tuple(a.shape)} and "
            f"{tuple(b.shape)}",
        )
        _require(a.shape[0] == b.shape[0], f"expected one batch, got {a.shape[0]} and {b.shape[0]} rows")
        for tokens, valid in ((a, a_valid), (b, b_valid)):
            _require(
                valid is None or (tokens.dim() == 3 and valid.shape == tokens.shape[:2]),
                "expected masks (batch, length) of token sequences, "
                f"got {tuple(() if valid is None else valid.shape)} for {tuple(tokens.shape)}",
            )


def contrastive_loss(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """Symmetric InfoNCE over the pairs of a batch, (batch, width) each: which b belongs to an a, and back.

    ln(1 + (batch - 1) exp(-1 / temperature)) for orthonormal pairs, ln(batch) where all are alike.
    """
    logits = functional.normalize(a, dim=1) @ functional.normalize(b, dim=1).T / temperature
    own = torch.arange(len(a), device=a.device)
    return (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2


def _cosine_term(a: Tensor, b: Tensor, relations: Tensor | None) -> Tensor:
    _require(relations is None, "expected relations only in semantic_mode softmax, got some in mode cosine")
    return -functional.cosine_similarity(a, b, dim=1).mean()


def _softmax_term(a: Tensor, b: Tensor, relations: Tensor | None) -> Tensor:
    scores = (a @ b.T / a.shape[1] ** 0.5).log_softmax(dim=1)  # (batch, batch)
    if relations is None:
        return -scores.diagonal().mean()
    _require(
        relations.shape == scores.shape and bool((relations >= 0).all() and (relations.sum(1) > 0).all()),
        f"expected relations {tuple(scores.shape)} >= 0 with something in every row, got "
        f"{tuple(relations.shape)}, smallest {float(relations.min())}, smallest row sum "
        f"{float(relations.sum(-1).min())}",
    )
    shares = relations.to(scores.dtype) / relations.sum(dim=1, keepdim=True)
    return -(shares * scores).sum(dim=1).mean()


SEMANTIC_MODES: dict[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]] = {
    "cosine": _cosine_term,
    "softmax": _softmax_term,
}
FEATURE_REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda difference: difference.square().mean(),
    "norm": lambda difference: difference.square().sum(),
}


class AlignmentLoss(nn.Module):
    """alpha contrastive + beta feature + gamma semantic; it may fall below zero, to -gamma.

    contrastive: symmetric InfoNCE on unit-norm projections, see contrastive_loss
    feature:     squared distance of the projections: its mean, or ("norm") the squared norm of the whole
                 difference, batch x width times as large
    semantic:    "cosine": minus the mean cosine of what each read of the other, -1 at best. "softmax": cross
                 entropy of softmax(A B' / sqrt(width)) with who belongs to whom: the pairs, or `relations`
    """

    def __init__(
        self,
        temperature: float = 0.1,
        alpha: float = 0.5,
        beta: float = 0.3,
        gamma: float = 0.2,
        semantic_mode: str = "cosine",
        feature_reduction: str = "mean",
    ) -> None:
        super().__init__()
        _require(temperature > 0, f"expected a temperature above 0, got {temperature}")
        _require(
            min(alpha, beta, gamma) >= 0, f"expected weights of at least 0, got {alpha}, {beta}, {gamma}"
        )
        for name, given, table in (
            ("semantic_mode", semantic_mode, SEMANTIC_MODES),
            ("feature_reduction", feature_reduction, FEATURE_REDUCTIONS),
        ):
            _require(given in table, f"expected {name} {' or '.join(table)}, got '{given}'")
        self.temperature = temperature
        self.alpha, self.beta, self.gamma = alpha, beta, gamma
        self.semantic_mode, self.feature_reduction = semantic_mode, feature_reduction

    def forward(self, outputs: Mapping[str, Tensor], relations: Tensor | None = None) -> dict[str, Tensor]:
        """Scalars total, contrastive, feature, semantic.

        outputs: of CrossModalAlignment; relations: (batch, batch) >= 0, how much each b means what an a means
        """
        a, b = outputs["projected_A"], outputs["projected_B"]
        losses = {
            "contrastive": contrastive_loss(a, b, self.temperature),
            "feature": FEATURE_REDUCTIONS[self.feature_reduction](a - b),
            "semantic": SEMANTIC_MODES[self.semantic_mode](
                outputs["semantic_A"], outputs["semantic_B"], relations
            ),
        }
        total = (
            self.alpha * losses["contrastive"]
            + self.beta * losses["feature"]
            + self.gamma * losses["semantic"]
        )
        return {"total": total, **losses}
