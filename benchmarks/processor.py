"""Processor time that a server takes: all its processes together, whatever thread of theirs it was."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


def taken_s(pids: Sequence[int], proc: Path = Path("/proc")) -> float:
    """Seconds, of user and system, that these processes took so far; one that ended counts nothing."""
    ticks = 0
    for pid in pids:
        try:
            after_name = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(after_name[11]) + int(after_name[12])
    return ticks / os.sysconf("SC_CLK_TCK")
