"""Part `machine`: which GPU, driver, CUDA and packages the figures belong to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.gpu_check import installed
from benchmarks.gpu_check.findings import Finding, Plan, Skip

COLUMNS = installed.QUERIED


def run(plan: Plan, earlier: Mapping[str, Finding]) -> Finding:
    """One row per GPU that nvidia-smi or torch sees; facts: package versions and what torch says."""
    found = Finding(rows=[dict(gpu) for gpu in installed.driver()])
    if not found.rows:
        found.skipped.append("driver: nvidia-smi is missing or finds no GPU")
    found.facts["packages"] = installed.versions()
    for name, install in installed.PACKAGES.items():
        try:
            installed.module(name)
        except Skip:
            found.skipped.append(f"{name}: not installed; {install} brings it")
    try:
        found.facts["torch"] = _torch(installed.torch_on_gpu())
    except Skip as reason:
        found.skipped.append(f"torch: {reason}")
    else:
        if not found.rows:
            found.rows.append({"name": found.facts["torch"]["name"]})
    return found


def _torch(torch: Any) -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(0)
    return {
        "name": properties.name,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "multiprocessors": properties.multi_processor_count,
        "memory_gib": properties.total_memory / 2**30,
        "compute_capability": f"{properties.major}.{properties.minor}",
    }
