"""What judges say, as values: a metric's name, and the items a person should look at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SHIFTS = 5  # largest changes that are shown where there is no reason to show others


@dataclass(frozen=True)
class Metric:
    """A figure of which more is better. unit: how it is written, such as `{:.1%}`"""

    title: str
    unit: str

    def written(self, figure: float) -> str:
        """For a sentence."""
        return self.unit.format(figure) if math.isfinite(figure) else "no number"


@dataclass(frozen=True)
class Changes:
    """A table of items; cells are HTML already."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[Sequence[str]]


def plain(value: Any) -> Any:
    """The value as JSON can say it: None for what is no number."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
