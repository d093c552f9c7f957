"""The NVIDIA GPU that a plan is built for: asked of nvidia-smi, which every driver brings."""

from __future__ import annotations

import functools
import subprocess
from dataclasses import dataclass

QUERY = "name,driver_version,compute_cap,memory.total"


@dataclass(frozen=True)
class Device:
    """One GPU: compute_capability as `8.9`, memory in MiB."""

    name: str
    driver: str
    compute_capability: str
    memory_mib: int

    def __str__(self) -> str:
        return f"{self.name}, driver {self.driver}"

    @property
    def capability(self) -> str:
        """As TensorRT for RTX calls it: `SM89`."""
        return "SM" + self.compute_capability.replace(".", "")


def parse(line: str) -> Device:
    """The device of one line of `nvidia-smi --query-gpu=... --format=csv,noheader,nounits`.

    errors: ValueError for another line
    """
    cells = [cell.strip() for cell in line.split(",")]
    try:
        name, driver, capability, memory = cells
        return Device(name, driver, capability, int(memory))
    except ValueError as error:
        raise ValueError(f"nvidia-smi: expected {QUERY}, got {line!r}; update the driver") from error


@functools.cache
def find(command: str = "nvidia-smi", timeout_s: float = 30) -> Device | None:
    """The first GPU of this machine; None where there is none or no driver."""
    query = [command, f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=timeout_s, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.strip().splitlines()
    return parse(lines[0]) if lines else None
