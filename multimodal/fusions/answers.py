"""From one answer per question to one answer, and from attention to what is shown of it."""

from __future__ import annotations

import torch
from torch import Tensor


def mean_answer(answers: Tensor, weights: Tensor | None = None) -> Tensor:
    """Average the answers to all questions.

    answers: (batch, questions, width); weights: (batch, questions), rows sum to 1, or None for a plain mean
    returns: (batch, width)
    """
    if weights is None:
        return answers.mean(dim=1)
    if weights.shape != answers.shape[:2]:
        raise ValueError(
            f"fusion: expected a weight for each of {tuple(answers.shape[:2])} answers, "
            f"got {tuple(weights.shape)}"
        )
    return (answers * weights.unsqueeze(-1)).sum(dim=1)


def asked_keys(attention: Tensor, weights: Tensor | None = None) -> Tensor:
    """How much each key counted for the averaged answer: heads averaged, questions as in `mean_answer`.

    attention: (batch, heads, questions, keys); returns: (batch, keys), rows sum to 1
    """
    return mean_answer(attention.mean(dim=1), weights)


def evidence_rows(*rows: Tensor) -> Tensor:
    """Rows (batch, keys) as one tensor (batch, rows, most keys); zeros follow a shorter row."""
    longest = max(row.shape[1] for row in rows)
    return torch.stack([torch.nn.functional.pad(row, (0, longest - row.shape[1])) for row in rows], dim=1)


def weights_for(weights: Tensor, steps: Tensor) -> Tensor | None:
    """The weights (batch, questions) where there is one per step of (batch, steps, width), else None."""
    return weights if weights.shape[1] == steps.shape[1] else None


def as_steps(view: Tensor) -> Tensor:
    """(batch, width) -> (batch, 1, width); a sequence stays as it is."""
    return view.unsqueeze(1) if view.dim() == 2 else view
