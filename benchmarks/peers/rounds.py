"""What is known of one side after so many rounds, for JSON and back: a comparison can go on later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks import curve
from benchmarks.goodput import spread

SHARES = (0.8, 1.5)  # of its own goodput: the two loads that the table quotes
FACTS = (
    "name", "engine", "version", "protocol", "batching", "workers", "threads", "layouts", "layouts_refused",
    "away_from_pytorch",
)  # fmt: skip


@dataclass(frozen=True)
class Round:
    """One turn of a side.

    at_once_hz, processor_ms: answers a second of everything at once, and what each took of processors
    search, loads: results of `goodput` and `curve`; loads is None where no rate was found
    """

    at_once_hz: float
    processor_ms: float
    search: dict[str, Any]
    loads: dict[str, Any] | None = None

    @property
    def goodput_hz(self) -> float:
        """What the search found."""
        return float(self.search["goodput_hz"]["median"])

    @property
    def void(self) -> bool:
        """Whether the generator was late, in spite of repeats."""
        return any(one["void"] for one in (self.search, self.loads) if one)


@dataclass
class Measured:
    """One side. facts: what it is and how it is run; void_rounds: how many were made in vain"""

    facts: dict[str, Any]
    rounds: list[Round] = field(default_factory=list)
    memory: dict[str, float] = field(default_factory=dict)
    void_rounds: int = 0

    def add(self, one: Round, even_void: bool = False) -> None:
        """Keep a round, or count that it was void."""
        if one.void and not even_void:
            self.void_rounds += 1
        else:
            self.rounds.append(one)

    @property
    def near_hz(self) -> float:
        """Where to search next; 0 where nothing is known."""
        return self.rounds[-1].goodput_hz if self.rounds else 0.0

    @property
    def layout(self) -> tuple[int, int]:
        """Workers, and threads of each."""
        return self.facts["workers"], self.facts["threads"]

    def row(self) -> dict[str, Any]:
        """For JSON and the report; of a side that has a round."""
        curves = [one.loads for one in self.rounds if one.loads]
        points = [
            curve.row(share, [run for one in curves for run in one["points"][place]["runs"]])
            for place, share in enumerate(SHARES)
            if curves
        ]
        return self.facts | {
            "goodput_hz": spread([one.goodput_hz for one in self.rounds]),
            "latency_ms": points[0]["latency_ms"] if points else None,
            "slo_attained_at_150": points[1]["slo_attained"] if points else None,
            "points": points,
            "at_once_hz": spread([one.at_once_hz for one in self.rounds]),
            "processor_ms": spread([one.processor_ms for one in self.rounds]),
            "memory_mib": self.memory,
            "void": any(one.void for one in self.rounds),
            "void_rounds": self.void_rounds,
            "rounds": [asdict(one) for one in self.rounds],
        }


def restored(row: Mapping[str, Any]) -> Measured:
    """What `Measured.row` was made of."""
    return Measured(
        {name: row[name] for name in FACTS if name in row},
        [Round(**one) for one in row["rounds"]],
        row["memory_mib"],
        row["void_rounds"],
    )
