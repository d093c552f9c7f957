"""Captions of what a question is about: told from patches that are drawn by their relevance to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from . import generation, patches
from .settings import Settings

# (sequences, length) input_ids, (sequences, source, width) states -> logits of the last position
Decode = Callable[[np.ndarray, np.ndarray], np.ndarray]
TextOf = Callable[[Sequence[int]], str]


@dataclass(frozen=True)
class Scene:
    """What the captions of one request are made from.

    tokens:    (1 + patches, width), the first stands for the whole image
    relevance: (patches,)
    input_ids: (length,), of its question
    """

    tokens: np.ndarray
    relevance: np.ndarray
    input_ids: np.ndarray


def _step(decode: Decode, states: np.ndarray) -> generation.Step:
    return lambda input_ids, rows: decode(input_ids, states[rows])


def caption(scenes: Sequence[Scene], decode: Decode, text_of: TextOf, settings: Settings) -> list[list[str]]:
    """`settings.captions` captions of every scene, different as long as the rounds last.

    A round draws as many for every scene that lacks some. What is part of another counts as none; after the
    last round the captions there are repeat in their order.
    """
    kept: list[list[str]] = [[] for _ in scenes]
    streams = [patches.stream(settings.seed, scene.input_ids, settings.caption.pad) for scene in scenes]
    for _ in range(settings.rounds):
        lacking = [place for place, texts in enumerate(kept) if len(texts) < settings.captions]
        if not lacking:
            break
        drawn = [_draw(scenes[place], streams[place], settings) for place in lacking]
        states = np.concatenate([sources for sources, _ in drawn])
        told = generation.sample(
            _step(decode, states),
            np.concatenate([uniforms for _, uniforms in drawn]),
            settings.top_k,
            settings.caption,
        )
        for number, one in enumerate(told):
            add(kept[lacking[number // settings.captions]], text_of(one.tokens))
    return [repeated(texts, settings.captions) for texts in kept]


def add(kept: list[str], text: str) -> None:
    """Keep a caption unless it is empty or part of one that is kept."""
    if text and not any(text in other for other in kept):
        kept.append(text)


def repeated(texts: Sequence[str], count: int) -> list[str]:
    """The first `count`, again from the beginning where there are fewer, empty where there is none."""
    return [texts[place % len(texts)] if texts else "" for place in range(count)]


def _draw(scene: Scene, stream: np.random.Generator, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """What each caption of a round sees, (captions, patches, width), and its numbers, (captions, tokens)."""
    chances = stream.random((settings.captions, len(scene.relevance)))
    uniforms = stream.random((settings.captions, settings.caption.longest + 1))
    places = [patches.draw(scene.relevance, settings.patches, line) for line in chances]
    return scene.tokens[1 + np.stack(places)], uniforms
