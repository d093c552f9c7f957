"""What every result file says about itself: command, commit, machine, versions, seed, time."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks import processor

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "numpy",
    "torch",
    "tokenizers",
    "onnxruntime",
    "openvino",
    "nvidia-dali-cuda120",
    "nvidia-pytriton",
    "tritonclient",
    "av",
)


def circumstances(seed: int | None) -> dict[str, Any]:
    """Everything a reader needs to judge a figure or to repeat it; no host name and no path.

    seed: None where nothing is drawn at random
    """
    return {
        "command": " ".join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "clean": _git("status", "--porcelain") == "",
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "system": platform.system(),
        },
        "load_before": os.getloadavg()[0],
        "processors_before": asdict(processor.machine()),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "seed": seed,
    }


def write(path: Path, result: dict[str, Any]) -> Path:
    """Write a result as JSON and return its path; says what the host took of the processors meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if "processors_before" in result:
        before = processor.Machine(**result["processors_before"])
        result = result | {"stolen_share": round(before.stolen_share(processor.machine()), 4)}
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return path


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()
