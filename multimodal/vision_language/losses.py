"""What a vision-language model learns from: answers, matching pairs, told texts.

L = alpha * classification + beta * retrieval + gamma * generation
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

# The usual start of contrastive learning (Radford et al., arXiv 2103.00020), and its usual limit.
FIRST_TEMPERATURE = 0.07
LARGEST_SCALE = 100.0


@dataclass(frozen=True)
class TaskWeights:
    """Weights of the three tasks; gamma 0 leaves generation out, and the model then has no decoder."""

    alpha: float = 1.0
    beta: float = 0.1
    gamma: float = 0.0

    def __post_init__(self) -> None:
        if min(self.alpha, self.beta, self.gamma) < 0 or max(self.alpha, self.beta, self.gamma) == 0:
            raise ValueError(
                "task weights: expected none below 0 and one above, got "
                f"{self.alpha}, {self.beta}, {self.gamma}"
            )


class RetrievalLoss(nn.Module):
    """Symmetric cross entropy over all pairs of a batch, with a learnable scale of the cosines.

    Cosines alone span [-1, 1]: without a scale the loss of 32 perfect pairs would still be 2.49.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / FIRST_TEMPERATURE)))

    @property
    def scale(self) -> Tensor:
        """What cosines are multiplied by; at most 100."""
        return self.log_scale.exp().clamp(max=LARGEST_SCALE)

    def forward(self, visual: Tensor, text: Tensor, matches: Tensor | None = None) -> Tensor:
        """Scalar loss; 0 for a batch of one, which has nothing to be told from.

        visual, text: (batch, width) of unit norm, pairs in the same rows
        matches: (batch, batch) bool, which text fits which photo, where several do; the diagonal when left
                 out. Every row and column needs one.
        """
        batch = visual.shape[0]
        if text.shape != visual.shape:
            raise ValueError(
                f"retrieval loss: expected as many texts as photos and one width, got {tuple(visual.shape)} "
                f"and {tuple(text.shape)}"
            )
        if matches is None:
            matches = torch.eye(batch, dtype=torch.bool, device=visual.device)
        logits = self.scale * visual @ text.T  # (batch of photos, batch of texts)
        there, back = (
            functional.cross_entropy(scores, wanted / wanted.sum(dim=1, keepdim=True))
            for scores, wanted in ((logits, matches.to(logits.dtype)), (logits.T, matches.T.to(logits.dtype)))
        )
        return (there + back) / 2


class VisionLanguageLoss(nn.Module):
    """The weighted sum of the tasks; its only parameter is the retrieval scale.

    padding_id: tokens of a target that do not count
    """

    def __init__(self, weights: TaskWeights | None = None, padding_id: int = 0) -> None:
        super().__init__()
        self.weights = weights or TaskWeights()
        self.padding_id = padding_id
        self.retrieval = RetrievalLoss()

    def forward(
        self,
        outputs: Mapping[str, Tensor],
        labels: Tensor,
        matches: Tensor | None = None,
        target_ids: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Scalars: total, classification, retrieval, and generation where gamma is above 0.

        outputs: of VisualLanguageModel; labels: (batch,) int64 classes; matches: see RetrievalLoss
        target_ids: (batch, length) int64 that generation_logits are of
        ValueError when gamma asks for a generation that the model was not asked for.
        """
        losses = {
            "classification": functional.cross_entropy(outputs["classification_logits"], labels),
            "retrieval": self.retrieval(outputs["retrieval_visual"], outputs["retrieval_text"], matches),
        }
        total = self.weights.alpha * losses["classification"] + self.weights.beta * losses["retrieval"]
        if self.weights.gamma > 0:
            losses["generation"] = self._generation(outputs, target_ids)
            total = total + self.weights.gamma * losses["generation"]
        return {"total": total, **losses}

    def _generation(self, outputs: Mapping[str, Tensor], target_ids: Tensor | None) -> Tensor:
        if target_ids is None or "generation_logits" not in outputs:
            raise ValueError(
                "vision-language loss: expected generation_logits and target_ids for a gamma above 0, got "
                "none; give the model a decoder and the target, or set gamma to 0"
            )
        logits = outputs["generation_logits"].flatten(0, 1)
        return functional.cross_entropy(logits, target_ids.flatten(), ignore_index=self.padding_id)
