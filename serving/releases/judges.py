"""Who judges the answers of a pipeline where the truth is known, chosen by what its answers are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from export.budgets import Budget, Classes, Score, Words
from serving.releases.class_judge import ClassJudge
from serving.releases.compared import Compared, Finding
from serving.releases.score_judge import ScoreJudge
from serving.releases.verdicts import Changes, Metric
from serving.releases.word_judge import WordJudge


class Judge(Protocol):
    """One kind of answer: its metrics, and how a person sees what changed."""

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Name as in the budget's `drops` -> title and how it is written."""
        ...

    @property
    def truth(self) -> str:
        """What an item needs to be judged, in words."""
        ...

    def count(self, compared: Compared) -> str:
        """How many items are judged, in words."""
        ...

    def measure(self, compared: Compared) -> dict[str, tuple[float, float]]:
        """Metric -> (live, new) on the same items; empty where the truth of none, or of too few, is known."""
        ...

    def causes(self, compared: Compared, metric: str) -> Iterator[Finding]:
        """What may explain that a metric fell."""
        ...

    def lines(self, compared: Compared) -> list[dict[str, Any]]:
        """What both answered to each item that both answered, as plain values."""
        ...

    def figure(self, compared: Compared) -> str:
        """The answers to items whose truth is known, as a figure of the page; empty without any."""
        ...

    def changes(self, lines: Sequence[Mapping[str, Any]]) -> Changes:
        """What a person should look at first."""
        ...


# what answers are -> who judges them; a new kind of answer is one class in export/budgets.py and one entry
JUDGES: dict[type, Callable[[Any], Judge]] = {Classes: ClassJudge, Score: ScoreJudge, Words: WordJudge}


def judge_of(budget: Budget) -> Judge:
    """The judge of a pipeline's answers."""
    return JUDGES[type(budget.judged_as)](budget.judged_as)


def drop_of(measured: tuple[float, float]) -> float:
    """By how much the new set is worse than the live one; NaN where it alone is no number."""
    old, new = measured
    return old - new if math.isfinite(old) else 0.0  # nothing is worse than what is no number
