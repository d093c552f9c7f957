"""Which request is due when: fixed before anything is sent, from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Schedule:
    """Which request is due when.

    due_s: (requests,) seconds after the beginning, ascending
    item:  (requests,) index of the message that leaves then
    """

    due_s: NDArray[np.float64]
    item: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.due_s)

    @property
    def duration_s(self) -> float:
        """When the last request is due."""
        return float(self.due_s[-1]) if len(self) else 0.0


def poisson(rate_hz: float, duration_s: float, items: int, seed: int) -> Schedule:
    """Requests at random, independent moments, each with one of `items` messages, all equally probable.

    raises: ValueError for a rate, a duration or a number of messages that is not above zero
    """
    if min(rate_hz, duration_s, items) <= 0:
        raise ValueError(
            f"schedule: expected a rate, a duration and messages above zero, got {rate_hz} Hz, "
            f"{duration_s} s and {items}; the machine's limit is found by raising the rate"
        )
    draw = np.random.default_rng(seed)
    expected = rate_hz * duration_s
    gaps_s = draw.exponential(1.0 / rate_hz, int(expected + 10.0 * expected**0.5 + 20.0))
    due_s = np.cumsum(gaps_s)
    due_s = due_s[due_s < duration_s]
    return Schedule(due_s, draw.integers(items, size=len(due_s)))
