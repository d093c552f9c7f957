"""Trains any vision-language model: one step over a batch of photos, texts, answers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from multimodal.vision_language.losses import TaskWeights, VisionLanguageLoss
from multimodal.vision_language.model import VisualLanguageModel

CLIP_NORM = 1.0


@dataclass(frozen=True)
class VisionLanguageBatch:
    """What one step learns from.

    images:  (batch, 3, height, width) in [0, 1]
    input_ids, attention_mask: (batch, length) int64
    labels:  (batch,) int64, classes
    matches: (batch, batch) bool, which text fits which photo; None: only the one in its own row
    target_ids: (batch, target length) int64, what a decoder is to tell; None without one
    """

    images: Tensor
    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor
    matches: Tensor | None = None
    target_ids: Tensor | None = None

    def __post_init__(self) -> None:
        sizes = {len(part) for part in (self.images, self.input_ids, self.attention_mask, self.labels)}
        if len(sizes) != 1:
            raise ValueError(f"batch: expected as many photos, texts and labels, got {sorted(sizes)}")

    def to(self, device: torch.device) -> VisionLanguageBatch:
        """The same on a device."""
        parts = {name: part.to(device) for name, part in vars(self).items() if part is not None}
        return VisionLanguageBatch(**parts)


class VLMTrainer:
    """AdamW over all parameters that train, those of the loss among them.

    device: where the model goes; a GPU if there is one when left out
    weights: of the tasks; a gamma above 0 needs a model with a decoder
    """

    def __init__(
        self,
        model: VisualLanguageModel,
        device: torch.device | str | None = None,
        lr: float = 1e-4,
        weights: TaskWeights | None = None,
    ) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = model.to(self.device)
        self.loss = VisionLanguageLoss(weights).to(self.device)
        if (self.loss.weights.gamma > 0) != (model.heads.decoder is not None):
            raise ValueError(
                "trainer: expected a decoder exactly where gamma is above 0, got "
                f"gamma {self.loss.weights.gamma} and {type(model.heads.decoder).__name__}; build both with "
                "the same gamma"
            )
        self.parameters = [parameter for parameter in self._modules().parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.AdamW(self.parameters, lr=lr)

    def _modules(self) -> nn.ModuleList:
        return nn.ModuleList((self.model, self.loss))

    def train_step(self, batch: VisionLanguageBatch) -> dict[str, float]:
        """Learn from one batch; returns total, classification, retrieval (and generation) before the step."""
        self.model.train()
        self.optimiser.zero_grad(set_to_none=True)
        losses = self._losses(batch)
        losses["total"].backward()
        nn.utils.clip_grad_norm_(self.parameters, CLIP_NORM)
        self.optimiser.step()
        return {name: float(value.detach()) for name, value in losses.items()}

    @torch.no_grad()
    def judge(self, batch: VisionLanguageBatch) -> dict[str, float]:
        """The same losses without learning; the model's mode is what it was afterwards."""
        before = self.model.training
        self.model.eval()
        losses = self._losses(batch)
        self.model.train(before)
        return {name: float(value) for name, value in losses.items()}

    def _losses(self, batch: VisionLanguageBatch) -> dict[str, Tensor]:
        there = batch.to(self.device)
        outputs = self.model(there.images, there.input_ids, there.attention_mask, there.target_ids)
        return self.loss(outputs, there.labels, there.matches, there.target_ids)
