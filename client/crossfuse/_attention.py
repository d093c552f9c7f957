"""Where attention lies on the recordings, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

EXCERPTS = 4  # a recording longer than the window is heard as four, evenly spread from its start to its end


@dataclass(frozen=True)
class Span:
    """A stretch of time, in shares of the recording, and the attention on it."""

    start: float
    end: float
    weight: float


def focus(attention: NDArray[Any]) -> NDArray[np.float64]:
    """(fusion tokens, length) -> (length,): the mean over tokens, in multiples of an even share.

    1 everywhere means no preference; a modality that was not used has 0 everywhere.
    """
    mean = attention.mean(axis=0, dtype=np.float64)
    total = float(mean.sum())
    return mean * len(mean) / total if total > 0 else np.zeros_like(mean)


def even_spans(weights: NDArray[np.float64]) -> list[Span]:
    """Weights spread evenly from the start of a recording to its end."""
    edges = np.linspace(0.0, 1.0, len(weights) + 1)
    return [Span(edges[i], edges[i + 1], float(weight)) for i, weight in enumerate(weights)]


def heard_spans(weights: NDArray[np.float64], duration_s: float, window_s: float | None) -> list[Span]:
    """Where on a recording the audio bins lie, whose window of `window_s` the model heard.

    A shorter recording is padded at its end, so bins past it fall away. A longer one is heard in EXCERPTS of
    window / EXCERPTS each, the first at its start and the last at its end; between them nothing is heard.
    """
    if window_s is None:
        return even_spans(weights)
    if duration_s <= window_s:
        scale = window_s / duration_s
        stretched = [Span(s.start * scale, s.end * scale, s.weight) for s in even_spans(weights)]
        return [Span(s.start, min(1.0, s.end), s.weight) for s in stretched if s.start < 1.0]
    length_s = window_s / EXCERPTS
    gap_s = (duration_s - length_s) / (EXCERPTS - 1)
    spans = []
    for excerpt in range(EXCERPTS):
        low, high = excerpt / EXCERPTS, (excerpt + 1) / EXCERPTS
        for span in even_spans(weights):
            start, end = max(span.start, low), min(span.end, high)
            if end - start > 1e-9:
                offset_s = excerpt * gap_s - low * window_s
                spans.append(
                    Span(
                        (start * window_s + offset_s) / duration_s,
                        (end * window_s + offset_s) / duration_s,
                        span.weight,
                    )
                )
    return spans
