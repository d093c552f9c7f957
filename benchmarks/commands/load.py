"""The verb `load`: locust's users against a running server, with its page or headless."""

from __future__ import annotations

import argparse

from benchmarks import load
from benchmarks.commands.arguments import Done

add = load.add


def run(chosen: argparse.Namespace) -> Done:
    """Carry the verb out."""
    return Done(*load.run(chosen))
