"""Trains the fusion with a selector: every branch is pulled to the target, as much as it is given weight."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from multimodal.fusions import MultimodalFusion
from training.alignment_trainer import fitting_device, looking_only


@dataclass(frozen=True)
class BranchWeights:
    """How much the mean squared error of each branch counts; the total is divided by their sum."""

    early: float = 1.0
    attention: float = 1.0
    gated: float = 1.0
    late: float = 1.0
    final: float = 1.0

    def __post_init__(self) -> None:
        values = tuple(asdict(self).values())
        if min(values) < 0 or max(values) == 0:
            raise ValueError(f"branch weights: expected none below 0 and one above, got {values}")


FINAL_ONLY = BranchWeights(early=0.0, attention=0.0, gated=0.0, late=0.0)  # branches learn through the end


class MultimodalFusionTrainer:
    """Adam over a fusion with a selector.

    weights: of the five errors; equal ones make the total their mean
    device:  the GPU where there is one, if left out
    """

    def __init__(
        self,
        model: MultimodalFusion,
        weights: BranchWeights | None = None,
        learning_rate: float = 1e-4,
        device: str | torch.device | None = None,
    ) -> None:
        self.device = fitting_device(device)
        self.model = model.to(self.device)
        self.weights = asdict(weights or BranchWeights())
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=learning_rate)

    def losses(self, features: Sequence[Tensor], target: Tensor) -> dict[str, Tensor]:
        """Scalars total, early, attention, gated, late, final.

        features: one (batch, its width) per modality; target: (batch, output width)
        ValueError for a target of another shape, which would be broadcast without a word.
        """
        final, info = self.model([vector.to(self.device) for vector in features])
        if target.shape != final.shape:
            raise ValueError(
                f"fusion training: expected a target {tuple(final.shape)}, got {tuple(target.shape)}"
            )
        target = target.to(self.device)
        errors = {name: functional.mse_loss(info[f"{name}_fused"], target) for name in self.weights}
        counted = {name: weight for name, weight in self.weights.items() if weight > 0}
        total = sum(weight * errors[name] for name, weight in counted.items())
        return {"total": torch.as_tensor(total / sum(counted.values())), **errors}

    def train_step(self, features: Sequence[Tensor], target: Tensor) -> dict[str, float]:
        """One step on a batch; returns the losses before it."""
        self.model.train()
        self.optimiser.zero_grad(set_to_none=True)
        losses = self.losses(features, target)
        losses["total"].backward()
        self.optimiser.step()
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def evaluate(self, features: Sequence[Tensor], target: Tensor) -> dict[str, float]:
        """The losses without learning from them; the model keeps its mode."""
        with looking_only(self.model):
            return {name: float(loss) for name, loss in self.losses(features, target).items()}

    def fit(
        self, batches: Iterable[tuple[Sequence[Tensor], Tensor]], title: str = "fusion"
    ) -> list[dict[str, float]]:
        """A step for every batch (features, target), under a bar; returns their losses."""
        bar = tqdm(batches, desc=title, unit="step", mininterval=1)
        history = []
        for features, target in bar:
            history.append(self.train_step(features, target))
            bar.set_postfix_str(f"total {history[-1]['total']:.3f}", refresh=False)
        return history
