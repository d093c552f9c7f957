"""The verb `gpu-check`; what it does is in benchmarks/gpu_check."""

from __future__ import annotations

import argparse

from benchmarks.commands.arguments import Done, say
from benchmarks.gpu_check import command
from benchmarks.gpu_check.command import add


def run(chosen: argparse.Namespace) -> Done:
    """Check, with an exit status of its own: 2 where no GPU is."""
    status = command.run(chosen, say)
    return Done(chosen.out, exit_status=status)


__all__ = ["add", "run"]
