"""Token after token, for many sequences at once: the most likely ones, or drawn ones.

A decoder is a function `step(input_ids, rows)`: (sequences, length) int64 and which of the batch's rows each
belongs to -> logits of the last position, (sequences, vocabulary). Sequences that ended leave the batch, so
all that are left have one length and need no padding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Step = Callable[[np.ndarray, np.ndarray], np.ndarray]
# (logits (sequences, vocabulary), rows (sequences,), place behind the prompt) -> the next tokens (sequences,)
Choose = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class Decoding:
    """How one decoder is run: it begins with `prompt` and ends with `end`; `pad` is no word.

    shortest, longest: tokens behind the prompt, the end not counted
    """

    prompt: tuple[int, ...]
    end: int
    pad: int
    shortest: int
    longest: int

    def __post_init__(self) -> None:
        if not self.prompt:
            raise ValueError("prompt: expected at least the begin token, got none; export the model again")
        if not 0 <= self.shortest <= self.longest:
            raise ValueError(
                f"shortest, longest: expected 0 <= shortest <= longest, got {self.shortest} and "
                f"{self.longest}; export the model again"
            )


@dataclass(frozen=True)
class Generated:
    """One sequence.

    tokens: behind the prompt, without the end
    probability: of all of them together, the end included where it was reached
    """

    tokens: tuple[int, ...]
    probability: float


def greedy(step: Step, count: int, decoding: Decoding) -> list[Generated]:
    """The most likely token, again and again, for rows 0 to count - 1."""
    return generate(step, count, decoding, lambda logits, rows, place: logits.argmax(axis=1))


def sample(step: Step, uniforms: np.ndarray, top_k: int, decoding: Decoding) -> list[Generated]:
    """Tokens drawn from the `top_k` most likely, as likely as they are among themselves.

    uniforms: (rows, longest + 1) in [0, 1), a number for each token: a row's tokens depend on its numbers
    alone, not on the rows beside it
    """

    def choose(logits: np.ndarray, rows: np.ndarray, place: int) -> np.ndarray:
        best = np.argsort(-logits, axis=1, kind="stable")[:, :top_k]
        chances = softmax(np.take_along_axis(logits, best, axis=1)).cumsum(axis=1)
        chances /= chances[:, -1:]
        chosen = (chances > uniforms[rows, place][:, None]).argmax(axis=1)
        return np.take_along_axis(best, chosen[:, None], axis=1)[:, 0]

    return generate(step, len(uniforms), decoding, choose)


def generate(step: Step, count: int, decoding: Decoding, choose: Choose) -> list[Generated]:
    """Run the decoder until every row has ended or has its `longest` tokens.

    errors: ValueError for logits that are no numbers
    """
    tokens: list[list[int]] = [[] for _ in range(count)]
    chances = np.zeros(count)
    rows = np.arange(count)
    sequences = np.tile(np.asarray(decoding.prompt, np.int64), (count, 1))
    for place in range(decoding.longest + 1):
        if not len(rows):
            break
        logits = _checked(step(sequences, rows))
        if place < decoding.shortest:
            logits[:, decoding.end] = -np.inf
        chosen = choose(logits, rows, place)
        ends, is_over = chosen == decoding.end, place == decoding.longest
        # A row that is as long as it may be has no room for another word, only for the end.
        counted = ends if is_over else chosen != decoding.pad
        chances[rows[counted]] += np.log(softmax(logits)[np.arange(len(rows)), chosen])[counted]
        going = ~ends & (not is_over)
        for row, token in zip(rows[going], chosen[going], strict=True):
            tokens[row].append(int(token))
        sequences = np.concatenate([sequences, chosen[:, None]], axis=1)[going]
        rows = rows[going]
    return [
        Generated(tuple(token for token in row if token != decoding.pad), float(np.exp(chance)))
        for row, chance in zip(tokens, chances, strict=True)
    ]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    risen = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return risen / risen.sum(axis=-1, keepdims=True)


def _checked(logits: np.ndarray) -> np.ndarray:
    """The same in double precision."""
    if np.isnan(logits).any():
        raise ValueError("logits: expected numbers, got NaN; train or convert the weights again")
    return logits.astype(np.float64)
