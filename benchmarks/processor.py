"""Processor time that a server takes: all its processes together, whatever thread of theirs it was."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


def stat_of(pid: int, proc: Path = Path("/proc")) -> list[str]:
    """What the kernel says of a process behind its name, which may hold anything; empty when it is gone."""
    try:
        text = (proc / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def taken_s(pids: Sequence[int], proc: Path = Path("/proc")) -> float:
    """Seconds, of user and system, that these processes took so far; one that ended counts nothing."""
    ticks = sum(int(stat[11]) + int(stat[12]) for pid in pids if (stat := stat_of(pid, proc)))
    return ticks / os.sysconf("SC_CLK_TCK")
