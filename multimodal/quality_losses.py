"""What a quality model is trained to do: hit the scores, keep their order, and weigh its evidence sensibly.

Scores and targets are brought to (batch, 1) before they meet: (batch, 1) against (batch,) would silently
compare everything with everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

# Distance of scores from targets, both of one shape. huber: quadratic below 1, linear above.
CRITERIA: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": nn.functional.mse_loss,
    "l1": nn.functional.l1_loss,
    "huber": nn.functional.smooth_l1_loss,
}

LOAD_BALANCE = (
    "load_balance"  # the fusion_info entry in which a mixture says how unevenly it used its experts
)

TINY = 1e-12  # keeps logarithms, roots and their gradients finite at zero


def as_column(values: Tensor, batch: int) -> Tensor:
    """(batch,) or (batch, 1) -> (batch, 1); ValueError for anything else."""
    if values.shape not in ((batch,), (batch, 1)):
        raise ValueError(
            f"quality loss: expected one value for each of {batch} clips, got shape {tuple(values.shape)}"
        )
    return values.reshape(batch, 1)


Values = TypeVar("Values", Tensor, NDArray[np.float32])


def on_curve(scores: Values, power: float) -> Values:
    """Scores (...) of 0 to 100 as 100 (score / 100)^power, of the same sign; 1 leaves them alone."""
    return scores if power == 1.0 else scores * abs(scores / 100.0) ** (power - 1.0)


def regression_loss(name: str, scores: Tensor, targets: Tensor) -> Tensor:
    """Mean distance of scores from targets, each (batch,) or (batch, 1), by one of `CRITERIA`."""
    if name not in CRITERIA:
        raise ValueError(f"quality loss: expected one of {', '.join(CRITERIA)}, got '{name}'")
    return CRITERIA[name](as_column(scores, len(scores)), as_column(targets, len(scores)))


def plcc_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """1 - Pearson's correlation: 0 for a rising line, 2 for a falling one, 1 where one side is constant.

    scores, targets: (batch,) or (batch, 1)
    """
    scores, targets = as_column(scores, len(scores)).float(), as_column(targets, len(scores)).float()
    scores, targets = scores - scores.mean(), targets - targets.mean()
    lengths = (scores.square().sum() + TINY).sqrt() * (targets.square().sum() + TINY).sqrt()
    return 1 - (scores * targets).sum() / lengths


def ranking_loss(scores: Tensor, targets: Tensor, margin: float = 0.0) -> Tensor:
    """How much pairs are in the wrong order: mean of max(0, margin - (better's score - worse's score)).

    scores, targets: (batch,) or (batch, 1); margin: in units of the score
    returns: scalar over all pairs with different targets; 0 with a gradient path when there are none
    """
    scores, targets = as_column(scores, len(scores)), as_column(targets, len(scores))
    better = (targets > targets.T).to(scores.dtype)  # (batch, batch): row's target above column's
    return (nn.functional.relu(margin - (scores - scores.T)) * better).sum() / better.sum().clamp(min=1)


def entropy(weights: Tensor) -> Tensor:
    """Entropy in nats over the last axis, (..., alternatives) -> (...); a weight of 0 adds nothing."""
    return -(weights * weights.clamp(min=TINY).log()).sum(dim=-1)


def attention_regulariser(attention: Tensor) -> Tensor:
    """Minus the mean entropy of attention rows (..., keys), in [-ln keys, 0]; minimising it spreads them."""
    return -entropy(attention).mean()


def sparsity(gates: Tensor) -> Tensor:
    """Mean entropy of gates (batch, alternatives), in [0, ln alternatives]; minimising it sharpens them."""
    return entropy(gates).mean()


def uniformity(gates: Tensor) -> Tensor:
    """Mean sum of squared gates (batch, alternatives), in [1 / alternatives, 1]; minimising it evens them."""
    return gates.square().sum(dim=-1).mean()


def load_balance(weights: Tensor) -> Tensor:
    """Squared coefficient of variation of what each expert does in a batch, in [0, experts - 1].

    weights: (batch, experts), rows sum to 1; 0 when all do the same in sum, experts - 1 when one does all
    Source: Shazeer et al., Outrageously Large Neural Networks (arXiv 1701.06538); population variance.
    """
    work = weights.sum(dim=0)
    return work.var(correction=0) / (work.mean().square() + TINY)


def attention_in(info: Mapping[str, Any]) -> Iterator[Tensor]:
    """Every attention (batch, [heads,] queries, keys) a fusion reports: tensors named `...attention...`."""
    tensors = ((name, value) for name, value in info.items() if isinstance(value, Tensor))
    return (value for name, value in tensors if "attention" in name and value.dim() > 2)


def gates_in(info: Mapping[str, Any]) -> Iterator[Tensor]:
    """Every set of gates (batch, alternatives) a fusion reports: tensors named `...gate...`, `...weights...`.

    A single weight per clip, (batch, 1), is no set: it has no entropy to speak of.
    """
    tensors = ((name, value) for name, value in info.items() if isinstance(value, Tensor))
    named = (value for name, value in tensors if "gate" in name or "weights" in name)
    return (value for value in named if value.dim() == 2 and value.shape[1] > 1)


@dataclass(frozen=True)
class LossWeights:
    """How much each term counts; a term of weight 0 is not computed.

    criterion: entry of `CRITERIA`, for the score and for the scores of frames
    quality, frames: distance of the clip's score, and of the scores of its frames
    plcc, ranking: `plcc_loss`, and `ranking_loss` with ranking_margin
    power: scores and targets are compared `on_curve`; above 1 differences between good clips count more
    attention, sparsity, uniformity, load_balance: regularisers, wherever the fusion reports what they look at
    """

    criterion: str = "mse"
    quality: float = 1.0
    frames: float = 0.0
    plcc: float = 0.0
    ranking: float = 0.0
    ranking_margin: float = 0.0
    power: float = 1.0
    attention: float = 0.01
    sparsity: float = 0.001
    uniformity: float = 0.0
    load_balance: float = 0.0

    def __post_init__(self) -> None:
        if self.criterion not in CRITERIA:
            raise ValueError(f"quality loss: expected one of {', '.join(CRITERIA)}, got '{self.criterion}'")
        numbers = {name: value for name, value in vars(self).items() if name != "criterion"}
        for name, value in numbers.items():
            if not 0 <= value < float("inf"):
                raise ValueError(f"quality loss: expected a finite {name} of at least 0, got {value}")
        if self.quality + self.plcc + self.ranking + self.frames == 0:
            raise ValueError("quality loss: expected quality, plcc, ranking or frames above 0, got 0 for all")


class QualityObjective:
    """The weighted sum of all terms, and every term on its own."""

    def __init__(self, weights: LossWeights) -> None:
        self.weights = weights

    def __call__(
        self, output: Mapping[str, Any], targets: Tensor, frame_targets: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Judge a batch.

        output:  quality_score (batch, 1), fusion_info (dict) and, for the term on frames, frame_scores
                 (batch, frames)
        targets: (batch,) or (batch, 1); frame_targets: (batch, frames)
        returns: scalars: `loss` to differentiate, and each term with a weight above 0, not weighted
        ValueError when the term on frames has a weight and there is nothing to compare
        """
        power = self.weights.power
        terms = self._terms(on_curve(output["quality_score"], power), on_curve(targets, power))
        if self.weights.frames:
            terms["frames"] = self._frame_loss(output.get("frame_scores"), frame_targets)
        terms |= self._regularisers(output.get("fusion_info", {}))
        weighted = [getattr(self.weights, name) * term for name, term in terms.items()]
        return {"loss": torch.stack(weighted).sum(), **terms}

    def _terms(self, scores: Tensor, targets: Tensor) -> dict[str, Tensor]:
        weights, terms = self.weights, {}
        if weights.quality:
            terms["quality"] = regression_loss(weights.criterion, scores, targets)
        if weights.plcc:
            terms["plcc"] = plcc_loss(scores, targets)
        if weights.ranking:
            terms["ranking"] = ranking_loss(scores, targets, weights.ranking_margin)
        return terms

    def _frame_loss(self, scores: Tensor | None, targets: Tensor | None) -> Tensor:
        if scores is None or targets is None or scores.shape != targets.shape:
            shapes = [None if value is None else tuple(value.shape) for value in (scores, targets)]
            raise ValueError(
                f"quality loss: expected frame_scores and their targets of one shape, got {shapes[0]} and "
                f"{shapes[1]}; set the weight of frames to 0 to train without"
            )
        power = self.weights.power
        return CRITERIA[self.weights.criterion](on_curve(scores, power), on_curve(targets, power))

    def _regularisers(self, info: Mapping[str, Any]) -> dict[str, Tensor]:
        attention, gates = list(attention_in(info)), list(gates_in(info))
        found: dict[str, list[Tensor]] = {
            "attention": [attention_regulariser(rows) for rows in attention]
            if self.weights.attention
            else [],
            "sparsity": [sparsity(rows) for rows in gates] if self.weights.sparsity else [],
            "uniformity": [uniformity(rows) for rows in gates] if self.weights.uniformity else [],
            "load_balance": [info[LOAD_BALANCE]]
            if self.weights.load_balance and LOAD_BALANCE in info
            else [],
        }
        return {name: torch.stack(values).mean() for name, values in found.items() if values}
