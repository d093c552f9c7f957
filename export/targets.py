"""What an export ends in: graphs for processors, or plans for GPUs that are built from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PRECISIONS = ("fp32", "bf16", "fp16", "int8", "auto")


@dataclass(frozen=True)
class Target:
    """plan: its file, empty where the graphs are served; served: by Triton, so from its repository."""

    plan: str = ""
    served: bool = True


@dataclass(frozen=True)
class Order:
    """What is asked for: a target, a precision, and a named set of build options of a target with plans.

    keep: parts that stay in fp32, by name, see `export.precision.conversion.lowered`
    calibration: of int8, a file of `export.precision.calibration`
    """

    target: str = "cpu"
    precision: str = "fp32"
    build: str = "default"
    keep: tuple[str, ...] = ()
    calibration: Path | None = None


TARGETS = {
    "cpu": Target(),
    "gpu": Target(plan="model.plan"),
    "rtx": Target(plan="model.rtx", served=False),
}
