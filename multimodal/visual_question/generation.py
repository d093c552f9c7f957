"""Captions and answers, token by token, with numpy alone: PyTorch and servers run the same loops.

A `step` is given every token so far, (rows, length) int64, and returns the logits of the last position,
(rows, vocabulary). Nothing here knows what network is behind it. All randomness comes from uniform numbers
that are drawn from a request's own question, so that an answer does not depend on the batch that it was in.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from multimodal.visual_question.vocabulary import SEPARATOR

Step = Callable[[np.ndarray], np.ndarray]
Decode = Callable[[Sequence[int]], str]
# (row of the batch (rows,), places of the drawn tokens (rows, patches)) -> a step for these rows
StepOf = Callable[[np.ndarray, np.ndarray], Step]


@dataclass(frozen=True)
class Decoding:
    """How one decoder is run: it begins with `prompt`, ends with `end`, is filled with `pad`.

    shortest, longest: tokens behind the prompt, the end not counted
    """

    prompt: tuple[int, ...]
    end: int
    pad: int
    shortest: int
    longest: int


@dataclass(frozen=True)
class GenerationSettings:
    """Everything that decoding needs beside graphs and tokenizer; `from_dict` reads `generation.json`.

    captions, patches, top_k, rounds, captions_per_context, seed: see `GenerationSizes`
    reader_length: tokens of one context, the special ones included
    """

    caption: Decoding
    answer: Decoding
    reader: Decoding
    captions: int
    patches: int
    top_k: int
    rounds: int
    captions_per_context: int
    reader_length: int
    seed: int

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GenerationSettings:
        """What `dataclasses.asdict` made of it; raises ValueError for other keys than its own."""
        expected = {field.name for field in fields(cls)}
        if set(values) != expected:
            odd = sorted(set(values) ^ expected)
            raise ValueError(f"generation settings: expected {', '.join(sorted(expected))}; wrong: {odd}")
        decoders = {
            name: Decoding(**{**values[name], "prompt": tuple(values[name]["prompt"])})
            for name in ("caption", "answer", "reader")
        }
        return cls(**{**values, **decoders})


def greedy(step: Step, rows: int, decoding: Decoding) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest token each time.

    returns: tokens (rows, at most longest) int64 without prompt and end, padded; probability (rows,) float32
             of all of them together, the end included where it was reached
    """

    def likeliest(logits: np.ndarray, _: int) -> np.ndarray:
        return logits.argmax(axis=1)

    return _decode(step, rows, decoding, likeliest)


def sample_top_k(step: Step, uniforms: np.ndarray, decoding: Decoding, top_k: int) -> np.ndarray:
    """One of the top_k likeliest tokens each time, as likely as they are among themselves.

    uniforms: (rows, longest + 1) in [0, 1), a number a token; returns: as the first of `greedy`
    """

    def drawn(logits: np.ndarray, place: int) -> np.ndarray:
        best = np.argsort(-logits, axis=1, kind="stable")[:, :top_k]  # (rows, top_k), likeliest first
        chances = softmax(np.take_along_axis(logits, best, axis=1)).cumsum(axis=1)
        chances /= chances[:, -1:]
        chosen = (chances > uniforms[:, place, None]).argmax(axis=1)
        return np.take_along_axis(best, chosen[:, None], axis=1)[:, 0]

    return _decode(step, len(uniforms), decoding, drawn)[0]


def _decode(
    step: Step, rows: int, decoding: Decoding, choose: Callable[[np.ndarray, int], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    tokens = np.tile(np.array(decoding.prompt, np.int64), (rows, 1))
    prompt, done = tokens.shape[1], np.zeros(rows, bool)
    log_probability = np.zeros(rows)
    for place in range(decoding.longest + 1):
        logits = step(tokens).astype(np.float64)
        if place < decoding.shortest:
            logits[:, decoding.end] = -np.inf
        chosen = choose(logits, place)
        if place == decoding.longest:  # no room for another word, only for the end
            chosen = np.where(chosen == decoding.end, chosen, decoding.pad)
        picked = np.log(softmax(logits)[np.arange(rows), chosen])
        counts = ~done & (chosen != decoding.pad)
        log_probability += np.where(counts, picked, 0.0)
        chosen = np.where(done, decoding.pad, chosen)
        done |= chosen == decoding.end
        tokens = np.concatenate([tokens, chosen[:, None]], axis=1)
        if done.all():
            break
    made = tokens[:, prompt : prompt + decoding.longest]
    ended = np.cumsum(made == decoding.end, axis=1) > 0
    return np.where(ended, decoding.pad, made), np.exp(log_probability).astype(np.float32)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    risen = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return risen / risen.sum(axis=-1, keepdims=True)


def seed_of(input_ids: np.ndarray, seed: int, pad: int) -> int:
    """A question's own seed, from integers alone: the same on every machine, in every batch.

    input_ids: (length,) int64; however far it is padded, the seed is that of what it says
    """
    asked = np.ascontiguousarray(input_ids[input_ids != pad], "<i8")
    return zlib.crc32(asked.tobytes(), seed)


def patch_chances(relevance: np.ndarray) -> np.ndarray:
    """(patches,) >= 0 -> strictly positive chances that sum to 1; even ones where nothing is relevant.

    Without the floor a map with fewer positive patches than are drawn could not be sampled.
    """
    heat = relevance.astype(np.float64)
    heat = heat + max(1e-8 * heat.max(), 1e-12)
    return heat / heat.sum()


def draw_patches(relevance: np.ndarray, count: int, uniforms: np.ndarray) -> np.ndarray:
    """Draw `count` patches without replacement, each time as likely as relevant; sorted places (count,).

    relevance, uniforms: (patches,); places are from 1 on: 0 is the class token
    The largest of log chance + Gumbel noise are such a draw (Kool et al., arXiv 1903.06059).
    """
    noise = -np.log(-np.log(np.clip(uniforms, 1e-12, 1 - 1e-12)))
    keys = np.log(patch_chances(relevance)) + noise
    return np.sort(np.argsort(-keys, kind="stable")[:count]) + 1


def sample_captions(
    step_of: StepOf,
    relevance: np.ndarray,
    input_ids: np.ndarray,
    settings: GenerationSettings,
    decode: Decode,
) -> list[list[str]]:
    """`settings.captions` captions for every row, each from its own draw of patches.

    relevance: (batch, patches); input_ids: (batch, length) int64
    A caption within one that is already there counts as none; after `rounds` rounds those found are repeated.
    """
    batch, patches = relevance.shape
    streams = [np.random.default_rng(seed_of(row, settings.seed, settings.caption.pad)) for row in input_ids]
    found: list[list[str]] = [[] for _ in range(batch)]
    for _ in range(settings.rounds):
        short = [row for row in range(batch) if len(found[row]) < settings.captions]
        if not short:
            break
        places, numbers = [], []
        for row in short:
            chances = streams[row].random((settings.captions, patches))
            numbers.append(streams[row].random((settings.captions, settings.caption.longest + 1)))
            places += [draw_patches(relevance[row], settings.patches, line) for line in chances]
        rows = np.repeat(np.array(short), settings.captions)
        step = step_of(rows, np.stack(places))
        tokens = sample_top_k(step, np.concatenate(numbers), settings.caption, settings.top_k)
        for row, line in zip(rows, tokens, strict=True):
            add_caption(found[row], decode([int(token) for token in line if token != settings.caption.pad]))
    return [repeated(captions, settings.captions) for captions in found]


def add_caption(found: list[str], caption: str) -> None:
    """Append a caption in place unless it is empty or within one that is there."""
    if caption and not any(caption in other for other in found):
        found.append(caption)


def repeated(captions: Sequence[str], count: int) -> list[str]:
    """The first `count`, from the beginning again where there are fewer, empty where there are none."""
    return [captions[place % len(captions)] if captions else "" for place in range(count)]


def reader_contexts(question: str, captions: Sequence[str], per_context: int) -> list[str]:
    r"""What the text reader is given: `question \n caption. caption.`, lower case, for every few captions.

    A literal backslash and n separate the two, as UnifiedQA was trained to expect.
    """
    asked = question.strip().rstrip("?").strip()
    groups = [captions[start : start + per_context] for start in range(0, len(captions), per_context)]
    return [f"{asked} {SEPARATOR} {' '.join(f'{caption}.' for caption in group)}".lower() for group in groups]


def padded(rows: Sequence[Sequence[int]], pad: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of token ids -> ids and mask, (rows, length) int64; rows that are cut keep their last token."""
    cut = [list(row) if len(row) <= longest else [*row[: longest - 1], row[-1]] for row in rows]
    length = max(map(len, cut))
    ids = np.full((len(cut), length), pad, np.int64)
    mask = np.zeros((len(cut), length), np.int64)
    for place, row in enumerate(cut):
        ids[place, : len(row)] = row
        mask[place, : len(row)] = 1
    return ids, mask
