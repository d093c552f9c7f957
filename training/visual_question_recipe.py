"""How a question answering preset is trained: frozen tables of numbers, each with its reason.

As BLIP came to be, in small: a ViT that has learnt to see (theirs on ImageNet, ours on shapes and colours),
then matching, captioning and answering together on one ViT, then apart on a ViT of their own each. Last the
fusion with its gate, and the decoders that are to read it, while both ViTs and matching stand still.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from training.recipe import Schedule


@dataclass(frozen=True)
class Stage:
    """AdamW with one warm-up and one cosine descent.

    batch: pictures of a step; small: a transformer from scratch needs steps more than smooth gradients
    gate_learning_rate: of the one number that opens the fusion, where it learns. Adam moves a number by about
                        its rate each step, and nothing is asked of the fusion while it is shut
    """

    steps: int
    batch: int = 16
    peak_learning_rate: float = 2e-3
    weight_decay: float = 0.02
    gate_learning_rate: float = 0.0

    @property
    def schedule(self) -> Schedule:
        """For `Optimiser`, which counts epochs elsewhere."""
        return Schedule(1, self.batch, self.peak_learning_rate, self.weight_decay)


@dataclass(frozen=True)
class VisualQuestionRecipe:
    """Everything that decides what weights come out, apart from the preset and the pictures.

    sight:    the ViT alone: shape, colour, size and place of the only thing in a picture
    together: matching, captioning and answering on that ViT
    apart:    matching on a ViT of its own; captioning and answering on theirs
    fused:    fusion, gate and the decoders that read it
    reader:   answers from captions, without pictures
    questions: about every picture of a step
    check:    steps between two looks at held-back pictures while the fusion learns; the best state is kept
    pictures: how many of the training split are read; 0: all of them
    held_back: share of them that choose
    """

    sight: Stage
    together: Stage
    apart: Stage
    fused: Stage
    reader: Stage
    questions: int = 2
    check: int = 100
    pictures: int = 0
    held_back: float = 0.1
    seed: int = 42


_TINY = Stage(steps=2, batch=4, gate_learning_rate=1e-2)
VISUAL_QUESTION_RECIPES = {
    "visual_question_answering_small": VisualQuestionRecipe(
        sight=Stage(steps=3000, peak_learning_rate=3e-3),
        # norms behind the residual: with 2e-3 matching stood still at 76 % after 500 steps, with this at 89 %
        together=Stage(steps=2500, peak_learning_rate=5e-4),
        apart=Stage(steps=600, peak_learning_rate=3e-4),
        fused=Stage(steps=1000, batch=24, peak_learning_rate=5e-4, gate_learning_rate=2e-2),
        # with 3e-3 the loss stood at 0.3 after 1,500 steps, with this at 0.07 after 1,800
        reader=Stage(steps=3000, batch=24, peak_learning_rate=1e-3),
    ),
    "visual_question_answering_tiny": VisualQuestionRecipe(
        sight=_TINY,
        together=_TINY,
        apart=_TINY,
        fused=replace(_TINY, steps=4),
        reader=_TINY,
        check=2,
        pictures=30,
    ),
}
