"""What this machine has: a package or a reason why not. Nothing here imports anything before it is asked."""

from __future__ import annotations

import importlib
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

from benchmarks.gpu_check.clock import first_line
from benchmarks.gpu_check.findings import Skip

# module -> what to install for it
PACKAGES = {
    "torch": "torch with CUDA",
    "onnx": "onnx",
    "onnxscript": "onnxscript",
    "tritonclient.grpc": "tritonclient[grpc]",
    "transformers": "transformers",
    "tensorrt": "tensorrt",
    "tensorrt_rtx": "tensorrt_rtx",
    "onnxruntime": "onnxruntime-gpu",
    "nvidia.dali": "nvidia-dali-cuda120 or nvidia-dali-cuda130",
    "av": "av",
    "matplotlib": "matplotlib",
}
DISTRIBUTIONS = (
    "torch",
    "triton",
    "transformers",
    "onnx",
    "onnxscript",
    "tensorrt",
    "tensorrt_cu12",
    "tensorrt_cu13",
    "tensorrt_rtx",
    "onnxruntime",
    "onnxruntime-gpu",
    "nvidia-dali-cuda120",
    "nvidia-dali-cuda130",
    "cuda-python",
    "tritonclient",
    "numpy",
)
QUERIED = ("name", "driver_version", "memory.total", "compute_cap", "clocks.max.sm", "power.limit")


def module(name: str) -> ModuleType:
    """The imported module; Skip where it is missing or does not load."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise Skip(
            f"{name} does not load ({first_line(error)}); install {PACKAGES.get(name, name)}"
        ) from error


def torch_on_gpu() -> Any:
    """The torch module; Skip unless it can compute on an NVIDIA GPU."""
    torch = module("torch")
    if not torch.cuda.is_available():
        seen = driver()
        where = f"nvidia-smi names {seen[0]['name']}" if seen else "nvidia-smi finds none either"
        raise Skip(f"torch {torch.__version__} sees no NVIDIA GPU; {where}")
    return torch


def driver() -> list[dict[str, str]]:
    """What nvidia-smi says of every GPU, by the names of its own query; empty without one."""
    if shutil.which("nvidia-smi") is None:
        return []
    question = ["nvidia-smi", f"--query-gpu={','.join(QUERIED)}", "--format=csv,noheader"]
    try:
        done = subprocess.run(question, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    if done.returncode:
        return []
    lines = [line.split(", ") for line in done.stdout.splitlines() if line.strip()]
    return [dict(zip(QUERIED, map(str.strip, line), strict=False)) for line in lines]


def versions() -> dict[str, str]:
    """Distribution -> version, of those that are there."""
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
