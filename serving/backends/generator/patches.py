"""Draw patches of an image with probability proportional to their relevance, the same ones every time."""

from __future__ import annotations

import zlib

import numpy as np

LEAST = 1e-12  # what a map of zeros weighs


def generator(
    seed: int, input_ids: np.ndarray, attention_mask: np.ndarray, *turn: int
) -> np.random.Generator:
    """The generator of one request's turn, seeded from the model's seed and the request's own question.

    Only from its integers: what engines compute differs in the seventh digit with the size of the batch, and
    a request must not get other captions for the company it came in.
    """
    asked = np.ascontiguousarray(input_ids[attention_mask.astype(bool)], "<i8")
    return np.random.default_rng([seed, zlib.crc32(asked.tobytes()), *turn])


def draw(relevance: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of `count` different patches in their order, (patches,) relevance >= 0 -> (count,).

    Every patch has a chance, so a map with fewer than `count` positive values is no trap. The largest of
    log p + Gumbel noise are a sample without replacement: Vieira, 2014, "Gumbel-max trick and weighted
    reservoir sampling".
    errors: ValueError for a map that is not finite or negative
    """
    heat = relevance.astype(np.float64).ravel()
    if not np.isfinite(heat).all() or (heat < 0).any():
        raise ValueError("relevance: expected finite numbers >= 0, got others; export the model again")
    heat = heat + max(1e-8 * heat.max(initial=0.0), LEAST)
    noise = -np.log(-np.log(rng.random(len(heat)).clip(np.finfo(np.float64).tiny)))
    return np.sort(np.argsort(-(np.log(heat) + noise), kind="stable")[:count])
