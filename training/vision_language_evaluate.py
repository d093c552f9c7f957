"""How well a vision-language model answers and finds, beside what it would do without looking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multimodal.vision_language.model import VisualLanguageModel
from training.easy_vqa import KINDS, question_kind
from training.vision_language_features import Pooled
from training.vision_language_heads import answers

SHUFFLE_SEED = 0


@dataclass(frozen=True)
class Answered:
    """Questions answered.

    accuracy: share of them that is right; cross_entropy: mean, in nats; kinds: accuracy by what is asked for
    """

    accuracy: float
    cross_entropy: float
    kinds: Mapping[str, float]


@dataclass(frozen=True)
class Found:
    """Retrieval in one direction: share of queries whose first, or one of whose first five results fits.

    chance: of a first result drawn at random; queries, candidates: how many of each
    """

    first: float
    five: float
    chance: float
    queries: int
    candidates: int


@dataclass(frozen=True)
class VisionLanguageEvaluation:
    """Everything that the card says.

    fusion: the served one; fusions, choosing: every fusion on the test split and on the photos held back of
    the training split, by which the served one is chosen
    confusion: (classes, classes) counts of the served fusion, rows are what is right
    changed: the served fusion, photos as another decoder might hand them over
    shuffled: every question put to another photo of the split
    question_only: the served fusion trained and asked without photos
    photos_found: by their captions; captions_found: by their photos
    """

    fusion: str
    fusions: Mapping[str, Answered]
    choosing: Mapping[str, Answered]
    confusion: NDArray[np.int64]
    changed: Answered
    shuffled: Answered
    question_only: Answered
    photos_found: Found
    captions_found: Found

    @property
    def served(self) -> Answered:
        """The served fusion on the test split."""
        return self.fusions[self.fusion]


def judge_answers(probabilities: Tensor, pooled: Pooled) -> Answered:
    """Compare (questions, classes) with what is right."""
    right = (probabilities.argmax(dim=1) == pooled.answer).double()
    given = probabilities.gather(1, pooled.answer[:, None]).double().clamp(min=1e-12)
    kinds = [question_kind(pooled.names[index]) for index in pooled.question.tolist()]
    rows = {kind: torch.tensor([one == kind for one in kinds]) for kind in KINDS}
    return Answered(
        float(right.mean()),
        float(-given.log().mean()),
        {kind: float(right[chosen].mean()) for kind, chosen in rows.items() if chosen.any()},
    )


def confusion_of(probabilities: Tensor, answer: Tensor) -> NDArray[np.int64]:
    """(classes, classes) counts: row is right, column was said."""
    classes = probabilities.shape[1]
    cells = answer * classes + probabilities.argmax(dim=1)
    return torch.bincount(cells, minlength=classes**2).reshape(classes, classes).numpy()


def shuffled_photos(photos: int, photo: Tensor, seed: int = SHUFFLE_SEED) -> Tensor:
    """Which photo each question is put to when photos are dealt out anew; no photo keeps its questions."""
    order = torch.randperm(photos, generator=torch.Generator().manual_seed(seed))
    dealt = torch.empty_like(order)
    dealt[order] = order.roll(1)  # a cycle through all
    return dealt[photo]


@torch.no_grad()
def embeddings(model: VisualLanguageModel, pooled: Pooled) -> tuple[Tensor, Tensor, Tensor]:
    """Photos (photos, width), full captions, each once (captions, width), and which photo has which."""
    photos = model.heads.embed_image(model.visual.projection(pooled.photos[0]))
    captions, which = pooled.captions[:, 0].unique(return_inverse=True)
    texts = model.heads.embed_text(model.text.projection(pooled.texts[captions]))
    return photos, texts, which


def judge_retrieval(photos: Tensor, texts: Tensor, which: Tensor) -> tuple[Found, Found]:
    """Photos found by texts, and texts found by photos.

    photos, texts: unit norm; which: (photos,) the text of each
    """
    fits = which[:, None] == torch.arange(len(texts))  # (photos, texts)
    scores = photos @ texts.T
    return _found(scores.T, fits.T), _found(scores, fits)


def _found(scores: Tensor, fits: Tensor) -> Found:
    queries, candidates = scores.shape
    best = scores.topk(min(5, candidates), dim=1).indices
    hit = fits.gather(1, best)
    return Found(
        float(hit[:, 0].double().mean()),
        float(hit.any(dim=1).double().mean()),
        float(fits.double().mean()),
        queries,
        candidates,
    )


def without_photos(pooled: Pooled, mean: Tensor) -> Pooled:
    """The same questions about one mean photo, (visual pooled width)."""
    return replace(pooled, photos=mean.expand(1, pooled.photos.shape[1], -1))


def evaluate_models(
    models: Mapping[str, VisualLanguageModel],
    fusion: str,
    splits: Mapping[str, Pooled],
    blind: VisualLanguageModel,
) -> VisionLanguageEvaluation:
    """Judge every fusion.

    splits: train, choose, test; test with at least one changed copy of its photos
    blind: the served fusion, trained without photos
    """
    test, served = splits["test"], models[fusion]
    said = {name: answers(model, test) for name, model in models.items()}
    mean = splits["train"].photos.mean(dim=(0, 1))
    other = shuffled_photos(test.photos.shape[1], test.photo)
    photos_found, captions_found = judge_retrieval(*embeddings(served, test))
    return VisionLanguageEvaluation(
        fusion=fusion,
        fusions={name: judge_answers(given, test) for name, given in said.items()},
        choosing={
            name: judge_answers(answers(model, splits["choose"]), splits["choose"])
            for name, model in models.items()
        },
        confusion=confusion_of(said[fusion], test.answer),
        changed=judge_answers(answers(served, replace(test, photos=test.photos[1:])), test),
        shuffled=judge_answers(answers(served, test, other), test),
        question_only=judge_answers(answers(blind, without_photos(test, mean)), test),
        photos_found=photos_found,
        captions_found=captions_found,
    )
