"""What the live and the new set answered to the same items, and one thing that was found in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from serving.releases.replay import Answers

if TYPE_CHECKING:
    import numpy as np

    from export.budgets import Budget
    from serving.releases.golden import Arrays, Golden

ABSENT, PARTIAL, CORRUPT = 1, 2, 3  # of modality_status: `Status` of the preprocess backend


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    text:  a sentence; what, expected, came and what to do where it failed
    value, limit: what came, and the most that may come; limit None where there is nothing to measure
    start: the value that uses nothing of the budget
    unit:  how they are written, such as `{:.1%}`
    compared: False where there was nothing to compare with, which is no failure but has to be said
    """

    name: str
    passed: bool
    text: str
    value: float = 0.0
    limit: float | None = None
    unit: str = "{:.3g}"
    compared: bool = True
    start: float = 0.0

    @property
    def used(self) -> float:
        """Share of the budget that is used; above 1 it is broken. 0 where nothing is measured."""
        if self.limit is None or not self.value - self.start > 0:
            return 0.0 if self.passed else 2.0
        room = self.limit - self.start
        return (self.value - self.start) / room if room > 0 else 2.0


@dataclass(frozen=True)
class Compared:
    """Everything a verdict is made of.

    expected: PyTorch's answers with the new set's weights and fusion, or None
    live_expected: with those of the live set
    fusion:   of the new set, where it is not the one that its preset has anyway
    """

    golden: Golden
    budget: Budget
    live: Answers
    new: Answers
    expected: Arrays | None = None
    live_expected: Arrays | None = None
    fusion: str = ""
    both: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        pairs = zip(self.live.outputs, self.new.outputs, strict=True)
        places = tuple(place for place, (old, new) in enumerate(pairs) if old is not None and new is not None)
        object.__setattr__(self, "both", places)

    def rows(self, answers: Answers, output: str, places: Sequence[int]) -> np.ndarray:
        """One output of some items, (places, ...)."""
        import numpy as np

        return np.stack([tensor_of(answers.outputs[place], output) for place in places])

    def complete(self) -> list[int]:
        """Places of the items that both answered and whose answer has to be right."""
        return [place for place in self.both if self.golden.items[place].complete]

    def readable(self, answers: Answers) -> list[int]:
        """Places of the items that both answered and of which `answers` could read enough."""
        needed = self.budget.needed
        return [place for place in self.both if is_readable(answers.outputs[place] or {}, needed)]


def tensor_of(outputs: dict[str, Any] | None, name: str) -> np.ndarray:
    """One output of an answer; ValueError where it has none of that name."""
    if outputs is None or name not in outputs:
        raise ValueError(f"{name}: expected this output in every answer, got none; compare its contract")
    tensor: np.ndarray = outputs[name]
    return tensor


def is_readable(outputs: Mapping[str, np.ndarray], needed: int = 1) -> bool:
    """Whether so many modalities of a request could be read; else an answer has zeros for its shares."""
    status = outputs.get("modality_status")
    return status is None or int(((status != ABSENT) & (status != CORRUPT)).sum()) >= needed
