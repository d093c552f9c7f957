"""The verb `report`: results as one page and as the README's table."""

from __future__ import annotations

import argparse

from benchmarks import report
from benchmarks.commands.arguments import Done

add = report.add


def run(chosen: argparse.Namespace) -> Done:
    """Carry the verb out."""
    return Done(*report.run(chosen))
