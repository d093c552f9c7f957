"""Stage two: the fusion head learns on tokens that the trained encoders made once.

Modalities are hidden at random, so that the head answers for any subset; an absent modality in service is the
same thing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from multimodal.losses import CombinedLoss
from multimodal.weld import FusedAnswer, QuadModalWeldModel, WeldOutput, keep_valid
from multimodal.weld_classes import GOOD, MODALITIES
from training.dataset import WeldDataset
from training.optimise import Optimiser
from training.prepared import Augmentation, prepare, tokens_of
from training.recipe import FusionRecipe


@dataclass(frozen=True)
class TokenSet:
    """What the encoders said about some runs.

    tokens: modality -> (runs, length, width); valid: modality -> (runs, rows) bool; labels: (runs,) class
    index
    """

    tokens: Mapping[str, Tensor]
    valid: Mapping[str, Tensor]
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, rows: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
        """Tokens, valid and labels of the chosen runs."""
        tokens = {name: self.tokens[name][rows] for name in MODALITIES}
        return tokens, {name: self.valid[name][rows] for name in MODALITIES}, self.labels[rows]


@torch.no_grad()
def encode(
    model: QuadModalWeldModel, dataset: WeldDataset, rows: list[int], bar: tqdm, views: int = 0, seed: int = 0
) -> TokenSet:
    """Tokens of the chosen runs as they are, followed by `views` augmented copies of them."""
    model.eval()
    tokens, valid = {}, {}
    for name in MODALITIES:
        data = prepare(model, dataset, rows, name)
        parts = []
        for view in range(views + 1):
            augment = Augmentation(seed + view) if view else None
            for chunk in torch.arange(len(data)).split(64):
                parts.append(keep_valid(tokens_of(model, data, chunk, augment), data.valid[chunk]))
                bar.update(len(chunk))
        tokens[name] = torch.cat(parts)
        valid[name] = data.valid.repeat(views + 1, 1)
    return TokenSet(tokens, valid, data.labels.repeat(views + 1))


def hide(valid: Mapping[str, Tensor], recipe: FusionRecipe, generator: torch.Generator) -> dict[str, Tensor]:
    """Take modalities and photos away at random; at least one usable modality of every run stays.

    valid: modality -> (batch, rows) bool; returns the same with fewer true
    """
    batch = valid["video"].shape[0]
    usable = torch.stack([valid[name].any(dim=1) for name in MODALITIES], dim=1)  # (batch, modalities)
    keep = torch.rand(usable.shape, generator=generator) >= recipe.modality_dropout
    keep |= ~(keep & usable).any(dim=1, keepdim=True)
    shown = {name: valid[name] & keep[:, index, None] for index, name in enumerate(MODALITIES)}
    thinned = shown["image"] & (
        torch.rand((batch, valid["image"].shape[1]), generator=generator) >= recipe.photo_dropout
    )
    shown["image"] = torch.where(thinned.any(dim=1, keepdim=True), thinned, shown["image"])
    return shown


class Objective(nn.Module):
    """SupCon and cross-entropy of the fused answer, and binary cross-entropy of the anomaly head."""

    def __init__(self, recipe: FusionRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.combined = CombinedLoss(contrastive_weight=recipe.supcon_weight, class_weight=1.0)

    def forward(self, output: WeldOutput, labels: Tensor) -> Tensor:
        """The scalar to differentiate; labels (batch,)."""
        fused = self.combined(output.projection, output.logits, labels)["loss"]
        defect = (labels != GOOD).float()
        weight = torch.where(labels == GOOD, self.recipe.good_weight, 1.0)
        anomaly = nn.functional.binary_cross_entropy_with_logits(output.anomaly_logit, defect, weight)
        return fused + self.recipe.anomaly_weight * anomaly


def train_fusion(
    model: QuadModalWeldModel, train: TokenSet, choose: TokenSet, recipe: FusionRecipe, seed: int
) -> float:
    """Train fusion and heads; keeps the epoch that was best on `choose` and returns its accuracy there."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    head = FusedAnswer(model.fusion, model.norm, model.heads)
    objective, steps = Objective(recipe), recipe.epochs * (len(train) // recipe.batch)
    optimiser = Optimiser(head, recipe, steps)
    best, state = -1.0, {}
    with tqdm(total=steps, desc="fusion head", unit="step", mininterval=1) as bar:
        for _ in range(recipe.epochs):
            head.train()
            order = torch.randperm(len(train), generator=generator)[
                : len(train) // recipe.batch * recipe.batch
            ]
            for rows in order.split(recipe.batch):
                tokens, valid, labels = train.rows(rows)
                optimiser.step(objective(head.fuse(tokens, hide(valid, recipe, generator)), labels))
                bar.update()
            reached = accuracy(head, choose)
            if reached >= best:
                best, state = reached, {name: value.clone() for name, value in head.state_dict().items()}
            bar.set_postfix_str(f"accuracy {reached:.3f}, best {best:.3f}")
    head.load_state_dict(state)
    model.eval()
    return best


@torch.no_grad()
def answers(head: FusedAnswer, data: TokenSet, only: str | None = None) -> Iterator[WeldOutput]:
    """Outputs for all runs in order, in batches; `only` leaves one modality and hides the others."""
    head.eval()
    for rows in torch.arange(len(data)).split(128):
        tokens, valid, _ = data.rows(rows)
        yield head.fuse(tokens, {name: mask & (only in (None, name)) for name, mask in valid.items()})


def accuracy(head: FusedAnswer, data: TokenSet) -> float:
    """Share of runs whose class is right, all modalities shown."""
    predicted = torch.cat([output.logits.argmax(dim=1) for output in answers(head, data)])
    return float((predicted == data.labels).float().mean())
