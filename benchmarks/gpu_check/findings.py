"""What a part is asked, what it found, what it left out and why; rows of figures as text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PRECISIONS = ("fp32", "bf16", "fp16", "int8")
SMALL = ("weld_small", "video_quality_small", "vision_language_small", "visual_question_answering_small")
BASE = (
    "weld_base",
    "video_quality_unified",
    "video_quality_optimised",
    "vision_language_base",
    "visual_question_answering_base",
)

Row = dict[str, Any]


class Skip(Exception):
    """Something that cannot run here; the text says why, and what would be needed."""


@dataclass(frozen=True)
class Plan:
    """What is checked, and how long each measured point may take.

    work: folder for graphs, engines and payloads, kept between runs
    say:  where a line about what has just been finished goes; a run may be cut off at any time
    """

    presets: tuple[str, ...] = SMALL
    precisions: tuple[str, ...] = PRECISIONS
    quick: bool = False
    seed: int = 7
    work: Path = Path("build/gpu_check")
    say: Callable[[str], None] = lambda line: None

    @property
    def seconds_per_point(self) -> float:
        """Time that one batch size of one engine is measured for."""
        return 0.15 if self.quick else 1.0

    def batches(self, largest: int) -> tuple[int, ...]:
        """The batch sizes to measure of a model that takes up to `largest`."""
        wanted = (1, largest) if self.quick else (1, 2, 4, 8, largest)
        return tuple(sorted({batch for batch in wanted if batch <= largest}))


@dataclass
class Finding:
    """rows: figures; skipped: what did not run, and why; faults: what is wrong, each of them a failure."""

    rows: list[Row] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a figure that is not finite becomes None, which JSON can say."""
        whole = {
            "facts": self.facts,
            "rows": self.rows,
            "skipped": self.skipped,
            "faults": self.faults,
        }
        return _plain(whole)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


# key of a row -> how its figure is written; what is not named here is written as it is
FORMATS: dict[str, str] = {
    "latency_ms": "{:.3f}",
    "latency_p95_ms": "{:.3f}",
    "items_per_s": "{:.0f}",
    "gflop_per_item": "{:.2f}",
    "tflops": "{:.1f}",
    "known_tflops": "{:.1f}",
    "share_of_measured": "{:.1%}",
    "share_of_known": "{:.1%}",
    "max_abs": "{:.1e}",
    "mean_abs": "{:.3f}",
    "cosine": "{:.6f}",
    "build_s": "{:.1f}",
    "present": "{:.0%}",
}


def table(rows: Iterable[Row], columns: Sequence[str]) -> str:
    """Rows under a head, aligned; a column that no row has is left out, a missing figure is a dash."""
    rows = list(rows)
    shown = [column for column in columns if any(row.get(column) is not None for row in rows)]
    cells = [shown, *([_cell(column, row.get(column)) for column in shown] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def _cell(column: str, value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return FORMATS.get(column, "{}").format(value)
