"""Whose answers a golden set holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from export.pipelines import PRESETS


@dataclass(frozen=True)
class Network:
    """A preset with its weights; fusion: the chosen one, empty for the preset's own or without a choice."""

    preset: str
    weights: Path
    fusion: str = ""

    @property
    def other_fusion(self) -> str:
        """The fusion if it is not the one that the preset has anyway, else empty."""
        return "" if self.fusion == PRESETS[self.preset].default_fusion(self.preset) else self.fusion
