"""The verbs of `python -m benchmarks`: a module each, with `add(verbs)` and `run(chosen)`.

No module imports at its top what only its run needs: `--help` is asked for more often than any measurement.
"""

from __future__ import annotations

import argparse
from typing import Protocol

from benchmarks.commands import (
    absent,
    accuracy,
    coldstart,
    corrupt,
    curve,
    engines,
    floor,
    goodput,
    gpu_check,
    ladder,
    load,
    offline,
    peers,
    report,
    stages,
    swap,
    tune,
)
from benchmarks.commands.arguments import Done, Mistyped, Verbs, say


class Command(Protocol):
    """What such a module has."""

    def add(self, verbs: Verbs) -> None:
        """Declare the verb and its arguments."""
        ...

    def run(self, chosen: argparse.Namespace) -> Done:
        """Measure, write one JSON. raises: Mistyped for arguments that do not go together"""
        ...


COMMANDS: dict[str, Command] = {
    "goodput": goodput,
    "curve": curve,
    "offline": offline,
    "floor": floor,
    "stages": stages,
    "engines": engines,
    "absent": absent,
    "corrupt": corrupt,
    "coldstart": coldstart,
    "tune": tune,
    "peers": peers,
    "swap": swap,
    "ladder": ladder,
    "accuracy": accuracy,
    "gpu-check": gpu_check,
    "load": load,
    "report": report,
}

__all__ = ["COMMANDS", "Command", "Done", "Mistyped", "say"]
