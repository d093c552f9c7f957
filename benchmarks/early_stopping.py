"""How many requests it takes to say, with confidence, that a share of all answers is in time.

Each request is in time with an unknown probability. Were that below `share`, seeing at most `missed` misses
among n requests would be rarer than 1 - confidence: then n is enough. As MLPerf Inference does it (MLPerf
Inference rules, "Early stopping criterion"; the exact binomial tail, no approximation).
"""

from __future__ import annotations

import math
from functools import cache

SHARE, CONFIDENCE = 0.99, 0.99


def tail(missed: int, requests: int, share: float = SHARE) -> float:
    """Probability of at most `missed` misses among `requests` that are in time with probability `share`."""
    if missed >= requests:
        return 1.0
    late = 1.0 - share
    logs = (
        math.lgamma(requests + 1)
        - math.lgamma(count + 1)
        - math.lgamma(requests - count + 1)
        + count * math.log(late)
        + (requests - count) * math.log(share)
        for count in range(missed + 1)
    )
    return min(1.0, sum(map(math.exp, logs)))


@cache
def least_requests(missed: int, share: float = SHARE, confidence: float = CONFIDENCE) -> int:
    """How many requests are enough when `missed` of them missed."""
    low, high = missed, max(missed + 1, 2)
    while tail(missed, high, share) > 1.0 - confidence:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if tail(missed, middle, share) > 1.0 - confidence:
            low = middle
        else:
            high = middle
    return high


def most_missed(requests: int, share: float = SHARE, confidence: float = CONFIDENCE) -> int:
    """How many of so many requests may miss; -1 when they are too few to say anything."""
    missed = -1
    while least_requests(missed + 1, share, confidence) <= requests:
        missed += 1
    return missed
