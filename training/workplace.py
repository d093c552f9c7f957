"""Where a training reads and writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workplace:
    """Where a training reads and writes.

    work:     what is made on the way (recordings, decoded caches, finished encoders), so that an interrupted
              training goes on
    weights:  the folder for `<preset>.safetensors` and its card
    recorded: a root of recordings to train on instead of those made here
    """

    work: Path
    weights: Path
    recorded: Path | None = None

    def root(self, own: str) -> Path:
        """The recordings to train on; own: the folder in `work` for those that are made here."""
        return self.recorded or self.work / own
