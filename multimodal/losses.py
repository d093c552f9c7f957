"""Losses of the weld model: supervised contrastive, and its sum with cross entropy.

Source of the contrastive loss: Khosla et al., Supervised Contrastive Learning (arXiv 2004.11362).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

REDUCTIONS = ("valid", "upstream")


class SupConLoss(nn.Module):
    """Pull features of the same class together and push the rest apart.

    temperature, base_temperature: similarities are divided by the first, the loss is scaled by their ratio
    reduction: `valid` averages over the rows that have a partner of their class; `upstream` over all rows,
               which counts rows without a partner as zero and so dilutes the loss
    A batch of one class has the constant minimum ln(rows - 1): the loss cannot learn from it.
    """

    def __init__(
        self, temperature: float = 0.07, base_temperature: float = 0.07, reduction: str = "valid"
    ) -> None:
        super().__init__()
        if temperature <= 0 or base_temperature <= 0:
            raise ValueError(
                f"contrastive loss: expected temperatures above 0, got {temperature} and {base_temperature}"
            )
        if reduction not in REDUCTIONS:
            raise ValueError(
                f"contrastive loss: expected reduction {' or '.join(REDUCTIONS)}, got '{reduction}'"
            )
        self.temperature = temperature
        self.scale = temperature / base_temperature
        self.reduction = reduction

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Loss of a batch, computed in float32.

        features: (batch, width) of unit length; labels: (batch,) int
        returns:  scalar; 0 with a gradient path when no two rows share a class
        """
        if features.dim() != 2 or labels.shape != features.shape[:1]:
            raise ValueError(
                f"contrastive loss: expected features (batch, width) and labels (batch,), got "
                f"{tuple(features.shape)} and {tuple(labels.shape)}"
            )
        features = features.float()
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        partners = (labels[:, None] == labels[None, :]) & ~itself
        similarity = features @ features.T / self.temperature
        # Finite, because a lone row would otherwise give -inf - -inf.
        others = similarity.masked_fill(itself, torch.finfo(torch.float32).min)
        log_probability = similarity - others.logsumexp(dim=1, keepdim=True)
        count = partners.sum(dim=1)
        per_row = -self.scale * (log_probability * partners).sum(dim=1) / count.clamp(min=1)
        rows = len(labels) if self.reduction == "upstream" else int((count > 0).sum())
        return per_row.sum() / max(rows, 1)


class CombinedLoss(nn.Module):
    """Weighted sum of the contrastive loss and cross entropy.

    contrastive_weight, class_weight: a part with weight 0 is not computed
    """

    def __init__(
        self,
        contrastive: SupConLoss | None = None,
        contrastive_weight: float = 1.0,
        class_weight: float = 0.0,
    ) -> None:
        super().__init__()
        if min(contrastive_weight, class_weight) < 0 or contrastive_weight + class_weight == 0:
            raise ValueError(
                f"combined loss: expected weights >= 0, one above 0, got {contrastive_weight}, {class_weight}"
            )
        self.contrastive = contrastive or SupConLoss()
        self.cross_entropy = nn.CrossEntropyLoss()
        self.contrastive_weight = contrastive_weight
        self.class_weight = class_weight

    def forward(self, features: Tensor, logits: Tensor, labels: Tensor) -> dict[str, Tensor | float]:
        """Losses of a batch.

        features: (batch, width) of unit length; logits: (batch, classes); labels: (batch,) int
        returns:  scalars `loss` to differentiate, `contrastive`, `class`, and the same as floats under
                  `loss_value`, `contrastive_value`, `class_value`
        """
        zero = features.new_zeros(())
        contrastive = self.contrastive(features, labels) if self.contrastive_weight else zero
        classes = self.cross_entropy(logits, labels) if self.class_weight else zero
        total = self.contrastive_weight * contrastive + self.class_weight * classes
        parts = {"loss": total, "contrastive": contrastive, "class": classes}
        return {**parts, **{f"{name}_value": part.item() for name, part in parts.items()}}
