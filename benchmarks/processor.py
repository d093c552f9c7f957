"""Processor time: what a server takes, all its processes together, and what the host gives to others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Machine:
    """What became of the processors' time since the machine started, seconds of all of them together.

    worked_s: in use, by anybody here; stolen_s: wanted here, and given to another machine by the host
    """

    worked_s: float
    stolen_s: float

    def stolen_share(self, later: Machine) -> float:
        """Of what was wanted between the two, how much others got; 0 where nothing was wanted."""
        worked_s, stolen_s = later.worked_s - self.worked_s, later.stolen_s - self.stolen_s
        return stolen_s / (worked_s + stolen_s) if worked_s + stolen_s > 0.0 else 0.0


def machine(proc: Path = Path("/proc")) -> Machine:
    """As of now (proc(5), `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal)."""
    fields = (proc / "stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, _, _, irq, softirq, steal = (
        int(field) / os.sysconf("SC_CLK_TCK") for field in fields
    )
    return Machine(user + nice + system + irq + softirq, steal)
