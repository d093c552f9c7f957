"""What is read off the fused vector, and the extra classifiers that keep every encoder learning."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from multimodal.weld_classes import CLASS_NAMES


class WeldHeads(nn.Module):
    """Class logits, anomaly logit and the projection for the contrastive loss, from one normalised vector."""

    def __init__(self, width: int, classes: int = len(CLASS_NAMES)) -> None:
        super().__init__()
        self.classifier = nn.Linear(width, classes)
        self.anomaly = nn.Linear(width, 1)
        self.projection = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, vector: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(batch, width) -> logits (batch, classes), anomaly logit (batch,), unit projection."""
        projection = nn.functional.normalize(self.projection(vector), dim=-1)
        return self.classifier(vector), self.anomaly(vector).squeeze(-1), projection


class AuxiliaryHeads(nn.Module):
    """A classifier on each modality's own tokens, for training only.

    Without them the fused loss is satisfied by the easiest modality and the other encoders stop learning.
    They are no part of the served graphs.
    """

    def __init__(self, token_widths: Mapping[str, int], classes: int = len(CLASS_NAMES)) -> None:
        super().__init__()
        self.norms = nn.ModuleDict({name: nn.LayerNorm(width) for name, width in token_widths.items()})
        self.classifiers = nn.ModuleDict(
            {name: nn.Linear(width, classes) for name, width in token_widths.items()}
        )

    def forward(
        self, tokens: Mapping[str, Tensor], valid: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Classify every modality by the mean of its valid tokens.

        tokens:  modality -> (batch, length, width); valid: modality -> (batch, 1 or length) bool, or None
        returns: modality -> (batch, classes); leave rows without valid tokens out of the loss
        """
        logits = {}
        for name, classifier in self.classifiers.items():
            if name in tokens:
                mask = None if valid is None else valid.get(name)
                logits[name] = classifier(self.norms[name](masked_mean(tokens[name], mask)))
        return logits


def masked_mean(tokens: Tensor, valid: Tensor | None) -> Tensor:
    """Mean over the valid tokens, zeros where there are none: (batch, length, width) -> (batch, width)."""
    if valid is None:
        return tokens.mean(dim=1)
    weights = valid.expand(tokens.shape[:2]).to(tokens.dtype)
    total = torch.matmul(weights.unsqueeze(1), tokens).squeeze(1)
    return total / weights.sum(dim=1, keepdim=True).clamp(min=1.0)
