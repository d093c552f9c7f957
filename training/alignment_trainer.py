"""Trains a cross-modal alignment on pairs, and says how well pairs agree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from multimodal.alignment import AlignmentLoss, CrossModalAlignment


def fitting_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for, or the GPU where there is one."""
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


@contextmanager
def looking_only(module: nn.Module) -> Iterator[None]:
    """Eval mode without gradients; ends in the mode it began with."""
    before = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(before)


class CrossModalAligner:
    """Adam over an alignment and its loss.

    feature_dim: width of both modalities, for the alignment that is made where none is given
    device:      the GPU where there is one, if left out
    """

    def __init__(
        self,
        feature_dim: int = 512,
        device: str | torch.device | None = None,
        model: CrossModalAlignment | None = None,
        loss: AlignmentLoss | None = None,
        learning_rate: float = 1e-4,
    ) -> None:
        self.device = fitting_device(device)
        self.model = (model or CrossModalAlignment(feature_dim)).to(self.device)
        self.loss = (loss or AlignmentLoss()).to(self.device)
        # After the move: an optimiser keeps the tensors it was given.
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=learning_rate)

    def align_features(self, a: Tensor, b: Tensor, *valid: Tensor) -> dict[str, Tensor]:
        """What the alignment makes of pairs, see CrossModalAlignment; no gradients, no dropout."""
        with looking_only(self.model):
            return self.model(*(tensor.to(self.device) for tensor in (a, b, *valid)))

    def train_step(self, a: Tensor, b: Tensor, *valid: Tensor) -> dict[str, float]:
        """One step on a batch of pairs; returns total, contrastive, feature and semantic before it."""
        self.model.train()
        self.optimiser.zero_grad(set_to_none=True)
        losses = self.loss(self.model(*(tensor.to(self.device) for tensor in (a, b, *valid))))
        losses["total"].backward()
        self.optimiser.step()
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def fit(self, batches: Iterable[tuple[Tensor, ...]], title: str = "alignment") -> list[dict[str, float]]:
        """A step for every batch (a, b, and their masks for sequences), under a bar; returns their losses."""
        bar = tqdm(batches, desc=title, unit="step", mininterval=1)
        history = []
        for batch in bar:
            history.append(self.train_step(*batch))
            bar.set_postfix_str(f"total {history[-1]['total']:.3f}", refresh=False)
        return history

    def compute_alignment_score(self, a: Tensor, b: Tensor, *valid: Tensor) -> float:
        """Mean cosine of the projections of pairs, -1 to 1; the model keeps its mode."""
        outputs = self.align_features(a, b, *valid)
        return float(functional.cosine_similarity(outputs["projected_A"], outputs["projected_B"]).mean())
