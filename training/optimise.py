"""AdamW with one warm-up and one cosine descent, the same for both stages."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.recipe import Schedule


class Optimiser:
    """One step: backward, clip, update, next learning rate."""

    def __init__(self, module: nn.Module, schedule: Schedule, steps: int) -> None:
        self.parameters = list(module.parameters())
        self.clip_norm = schedule.clip_norm
        self.adamw = torch.optim.AdamW(
            self.parameters, lr=schedule.peak_learning_rate, weight_decay=schedule.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.adamw, schedule.peak_learning_rate, total_steps=max(steps, 2), pct_start=schedule.warm_up
        )

    def step(self, loss: Tensor) -> None:
        """Follow the gradient of a scalar loss."""
        self.adamw.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        self.adamw.step()
        self.schedule.step()
