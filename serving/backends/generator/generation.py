"""Token after token, for many sequences at once: the most likely ones, or drawn ones.

A decoder is a function `step(input_ids, rows)`: (sequences, length) int64 and which of the batch's rows each
belongs to -> logits of the last position, (sequences, vocabulary). Sequences that ended leave the batch, so
all that are left have one length and need no padding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Step = Callable[[np.ndarray, np.ndarray], np.ndarray]
# (logits (sequences, vocabulary), rows (sequences,)) -> the next token of each, (sequences,) int64
Choose = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Generated:
    """One sequence.

    tokens: after the prompt, without the end
    probability: of all its tokens as the decoder gives it, the end included where it came
    """

    tokens: tuple[int, ...]
    probability: float


@dataclass(frozen=True)
class Limits:
    """How one decoder is run.

    prompt_ids: what every sequence begins with, the begin token first
    end_id:     of the token that ends a sequence
    min_length: tokens that have to come before the end may; max_length: that may come, the end included
    """

    prompt_ids: tuple[int, ...]
    end_id: int
    min_length: int
    max_length: int

    def __post_init__(self) -> None:
        if not self.prompt_ids:
            raise ValueError(
                "prompt_ids: expected at least the begin token, got none; export the model again"
            )
        if not 0 <= self.min_length < self.max_length:
            raise ValueError(
                f"min_length, max_length: expected 0 <= min < max, got {self.min_length} and "
                f"{self.max_length}; export the model again"
            )


def greedy(step: Step, count: int, limits: Limits) -> list[Generated]:
    """The most likely token, again and again, for rows 0 to count - 1."""
    return generate(step, count, limits, lambda logits, rows: logits.argmax(axis=1))


def sample(step: Step, draws: Sequence[np.random.Generator], top_k: int, limits: Limits) -> list[Generated]:
    """Tokens drawn from the `top_k` most likely, each row with a generator of its own.

    A row's tokens depend on its generator alone, not on the rows beside it.
    """

    def choose(logits: np.ndarray, rows: np.ndarray) -> np.ndarray:
        pairs = zip(logits, rows, strict=True)
        return np.asarray([drawn(row_logits, top_k, draws[row]) for row_logits, row in pairs], np.int64)

    return generate(step, len(draws), limits, choose)


def generate(step: Step, count: int, limits: Limits, choose: Choose) -> list[Generated]:
    """Run the decoder until every row has ended or has `max_length` tokens.

    errors: ValueError for logits that are no numbers
    """
    tokens: list[list[int]] = [[] for _ in range(count)]
    chances = np.zeros(count)
    rows = np.arange(count)
    sequences = np.tile(np.asarray(limits.prompt_ids, np.int64), (count, 1))
    for length in range(limits.max_length):
        if not len(rows):
            break
        chosen, logs = _next(step(sequences, rows), rows, length < limits.min_length, limits, choose)
        chances[rows] += logs
        going = chosen != limits.end_id
        for row, token in zip(rows[going], chosen[going], strict=True):
            tokens[row].append(int(token))
        sequences = np.concatenate([sequences, chosen[:, None]], axis=1)[going]
        rows = rows[going]
    return [Generated(tuple(row), float(np.exp(chance))) for row, chance in zip(tokens, chances, strict=True)]


def _next(
    logits: np.ndarray, rows: np.ndarray, too_short: bool, limits: Limits, choose: Choose
) -> tuple[np.ndarray, np.ndarray]:
    """The next token of each row and the logarithm of its probability."""
    logits = logits.astype(np.float64)
    if np.isnan(logits).any():
        raise ValueError("logits: expected numbers, got NaN; train or convert the weights again")
    if too_short:
        logits[:, limits.end_id] = -np.inf
    chosen = choose(logits, rows).astype(np.int64)
    return chosen, log_softmax(logits)[np.arange(len(rows)), chosen]


def drawn(logits: np.ndarray, top_k: int, rng: np.random.Generator) -> int:
    """One token of the `top_k` most likely, (vocabulary,) -> its id; uses one number of `rng`."""
    best = np.argsort(-logits, kind="stable")[:top_k]
    shares = np.cumsum(np.exp(log_softmax(logits[best][None])[0]))
    return int(best[min(int(np.searchsorted(shares, rng.random(), side="right")), len(best) - 1)])


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """(sequences, vocabulary) -> the logarithms of their probabilities."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
