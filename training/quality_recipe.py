"""How a video quality preset is trained: frozen tables of numbers, each with its reason.

Two stages. First the encoder of each view learns alone, in a process of its own, to score single moments.
Then their wires are computed once, and a head for every fusion of the table learns on those.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from multimodal.quality_losses import LossWeights
from training.quality_clips.distortions import CODECS, IN_ONE_FRAME, IN_TIME
from training.quality_trainer import QualityTraining
from training.recipe import Schedule


@dataclass(frozen=True)
class ViewRecipe(Schedule):
    """Stage one: one encoder and a score per moment.

    batch:    clips of a step, in groups of `group` from one source: their order is that of the damage alone
    moments:  of each clip, chosen anew in every step: neighbouring moments teach the same twice
    damage:   weight of the distances within a group, scores and targets less their means: what the damage
              cost, whatever the content, beside the distance of every moment's score
    power:    scores are taught as (score / 100)^power: half of VMAF's labels lie above 79, where differences
              would else hardly count; with 2 they are spread, and differences between bad clips still count
    skip:     distortions that this view cannot see, parts of their names; such clips would teach it noise
    published: begin with the weights of its backbone that a package ships, and leave those as they are
    """

    epochs: int = 24
    batch: int = 32
    peak_learning_rate: float = 3e-3
    weight_decay: float = 0.05
    group: int = 8
    moments: int = 2
    damage: float = 1.0
    power: float = 2.0
    skip: tuple[str, ...] = ()
    published: bool = False


@dataclass(frozen=True)
class QualityRecipe:
    """Everything that decides what weights come out, apart from the preset and the clips.

    views: augmented copies of every training clip whose wires are cached, beside the clip itself
    """

    spatial: ViewRecipe
    temporal: ViewRecipe
    fusion: QualityTraining
    views: int = 1
    seed: int = 42


SMALL_FUSION = QualityTraining(
    epochs=12,
    batch=64,
    learning_rate=1e-3,
    weight_decay=0.05,
    warm_up=2,
    seed=42,
    loss=LossWeights("huber", ranking=0.5, power=2.0, attention=0.0, sparsity=0.0),
)
QUALITY_RECIPES = {
    "video_quality_small": QualityRecipe(
        spatial=ViewRecipe(epochs=8, skip=IN_TIME, published=True),
        # 7 clips a source are left: the pristine one, three that stall and three that flicker
        temporal=ViewRecipe(epochs=12, batch=28, group=7, moments=8, skip=(*CODECS, *IN_ONE_FRAME)),
        fusion=replace(SMALL_FUSION, epochs=20),
        views=0,
    ),
    "video_quality_tiny": QualityRecipe(
        spatial=ViewRecipe(epochs=1, batch=8, group=2, skip=IN_TIME),
        temporal=ViewRecipe(epochs=1, batch=2, group=2, moments=8, skip=(*CODECS, *IN_ONE_FRAME)),
        fusion=replace(SMALL_FUSION, epochs=2, batch=8, warm_up=0),
    ),
}
