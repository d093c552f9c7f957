"""Captions of what a question is about: told from patches that are drawn by their relevance to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from . import generation, patches
from .settings import Settings

# (sequences, length) input_ids, (sequences, source, width) states -> logits of the last position
Decode = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Scene:
    """What the captions of one request are made from.

    tokens:    (1 + patches, width), the first stands for the whole image
    relevance: (patches,)
    input_ids, attention_mask: (length,), of its question
    """

    tokens: np.ndarray
    relevance: np.ndarray
    input_ids: np.ndarray
    attention_mask: np.ndarray


def caption(
    scenes: Sequence[Scene], decode: Decode, text_of: Callable[[Sequence[int]], str], settings: Settings
) -> list[list[str]]:
    """`settings.captions` captions of every scene, different as long as the rounds last.

    A round draws as many for every scene that lacks some. What says the same as another is dropped; after
    `max_rounds` the captions there are repeat in their order.
    """
    kept: list[list[str]] = [[] for _ in scenes]
    for turn in range(settings.max_rounds):
        lacking = [place for place, texts in enumerate(kept) if len(texts) < settings.captions]
        if not lacking:
            break
        told = _round([scenes[place] for place in lacking], turn, decode, text_of, settings)
        for place, texts in zip(lacking, told, strict=True):
            for text in texts:
                add(kept[place], text, settings.captions)
    return [repeated(texts, settings.captions) for texts in kept]


def add(kept: list[str], text: str, most: int) -> None:
    """Keep a caption unless it is empty, or part of one that is kept, or has one as its part."""
    is_known = any(text in other or other in text for other in kept)
    if text and not is_known and len(kept) < most:
        kept.append(text)


def repeated(texts: Sequence[str], count: int) -> list[str]:
    """As many as `count`: the texts again in their order, empty strings where there is none."""
    return [texts[place % len(texts)] if texts else "" for place in range(count)]


def _round(
    scenes: Sequence[Scene],
    turn: int,
    decode: Decode,
    text_of: Callable[[Sequence[int]], str],
    settings: Settings,
) -> list[list[str]]:
    """Captions of one turn, (scenes, captions), all of them decoded together."""
    draws, sources = [], []
    for scene in scenes:
        for number in range(settings.captions):
            rng = patches.generator(settings.seed, scene.input_ids, scene.attention_mask, turn, number)
            chosen = patches.draw(scene.relevance, min(settings.patches, len(scene.relevance)), rng)
            draws.append(rng)
            sources.append(scene.tokens[1 + chosen])
    states = np.stack(sources)
    told = generation.sample(
        lambda input_ids, rows: decode(input_ids, states[rows]),
        draws,
        settings.top_k,
        settings.caption,
    )
    texts = [text_of(one.tokens) for one in told]
    return [texts[start : start + settings.captions] for start in range(0, len(texts), settings.captions)]
