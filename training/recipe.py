"""How a weld preset is trained: frozen tables of numbers, each with its reason.

Two stages. First every encoder learns alone, each in a process of its own: on two cores that is twice as fast
as one process with two threads, and no encoder is starved by an easier modality. Then the fusion head learns
on their tokens, which are computed once, with modalities hidden at random.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from multimodal.weld_classes import MODALITIES


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(f"recipe: {sentence}")


@dataclass(frozen=True)
class Schedule:
    """One stage's optimiser: AdamW, warm-up over a share of all steps, cosine descent."""

    epochs: int
    batch: int
    peak_learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warm_up: float = 0.1
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        _require(self.epochs >= 1, f"epochs must be at least 1, got {self.epochs}")
        _require(self.batch >= 2, f"batch must be at least 2, got {self.batch}")
        _require(0 <= self.warm_up < 1, f"warm_up is a share in [0, 1), got {self.warm_up}")


@dataclass(frozen=True)
class EncoderRecipe(Schedule):
    """Stage one: one encoder and a classifier on the mean of its tokens.

    The batch is small: a Transformer from scratch needs steps more than it needs smooth gradients.
    """

    epochs: int = 12
    batch: int = 16
    warm_up: float = 0.15
    label_smoothing: float = 0.05


@dataclass(frozen=True)
class FusionRecipe(Schedule):
    """Stage two: fusion and heads on cached tokens.

    views: augmented copies of every training run whose tokens are cached; modality_dropout: chance that a
    modality is hidden, at least one stays; photo_dropout: the same for a single photo
    """

    epochs: int = 30
    batch: int = 64
    views: int = 3
    modality_dropout: float = 0.25
    photo_dropout: float = 0.1
    supcon_weight: float = 0.2
    anomaly_weight: float = 0.5
    good_weight: float = (
        6.0  # Good is one class of twelve; without it the anomaly head is content with "defect"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("modality_dropout", "photo_dropout"):
            _require(0 <= getattr(self, name) < 1, f"{name} is a share in [0, 1), got {getattr(self, name)}")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what weights come out, apart from the preset and the files."""

    runs_per_class: int
    encoders: Mapping[str, EncoderRecipe]
    fusion: FusionRecipe = field(default_factory=FusionRecipe)
    shares: tuple[tuple[str, float], ...] = (("train", 0.69), ("choose", 0.09), ("held_out", 0.22))
    data_seed: int = 1
    seed: int = 42

    def __post_init__(self) -> None:
        _require(
            set(self.encoders) == set(MODALITIES),
            f"one encoder recipe per modality, got {set(self.encoders)}",
        )


RECIPES = {
    "weld_small": Recipe(
        runs_per_class=175,
        encoders={
            "video": EncoderRecipe(epochs=24),  # slow: at 12 epochs it still improved
            "image": EncoderRecipe(),
            "audio": EncoderRecipe(epochs=6),  # tells its three groups apart after two
            "sensor": EncoderRecipe(epochs=6),  # its levels are plain to see: one epoch does most of it
        },
    ),
    "tiny": Recipe(
        runs_per_class=12,
        encoders=dict.fromkeys(MODALITIES, EncoderRecipe(epochs=1, batch=8)),
        fusion=FusionRecipe(epochs=2, views=1, batch=8),
        shares=(("train", 0.5), ("choose", 0.2), ("held_out", 0.3)),
    ),
}
