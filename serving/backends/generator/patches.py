"""Draw patches of an image with probability proportional to their relevance, the same ones every time."""

from __future__ import annotations

import zlib

import numpy as np

SHARE, LEAST = 1e-8, 1e-12  # what every patch weighs, of the most relevant one's weight and at least


def stream(seed: int, input_ids: np.ndarray, pad: int) -> np.random.Generator:
    """The random numbers of one request, seeded from the model's seed and its own question, (length,) int64.

    From integers alone, and without the padding: what engines compute differs in the seventh digit with the
    size of the batch, and a request must not get other captions for the company it came in.
    """
    asked = np.ascontiguousarray(input_ids[input_ids != pad], "<i8")
    return np.random.default_rng(zlib.crc32(asked.tobytes(), seed))


def draw(relevance: np.ndarray, count: int, uniforms: np.ndarray) -> np.ndarray:
    """`count` different patches, each time as likely as relevant: sorted indices (count,).

    relevance: (patches,) >= 0; uniforms: (patches,) in [0, 1)
    Every patch has a chance, so a map with fewer than `count` positive values is no trap. The largest of
    log chance + Gumbel noise are such a draw. Source: Kool et al., 2019, "Stochastic Beams and Where to Find
    Them".
    errors: ValueError for a map that is not finite or negative
    """
    heat = relevance.astype(np.float64).ravel()
    if not np.isfinite(heat).all() or (heat < 0).any():
        raise ValueError("relevance: expected finite numbers >= 0, got others; export the model again")
    heat = heat + max(SHARE * heat.max(), LEAST)
    noise = -np.log(-np.log(np.clip(uniforms, 1e-12, 1 - 1e-12)))
    return np.sort(np.argsort(-(np.log(heat / heat.sum()) + noise), kind="stable")[:count])
