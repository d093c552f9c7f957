"""Part `peak`: what a large matrix product reaches on this chip, beside what its maker states.

Random numbers: a product of zeros ran 13 % faster on an H200, since fewer bits toggle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.gpu_check import installed
from benchmarks.gpu_check.clock import first_line, time_launch
from benchmarks.gpu_check.findings import Finding, Plan, Skip

COLUMNS = ("precision", "size", "latency_ms", "tflops", "known_tflops", "share_of_known")
SIZES, QUICK_SIZES = (2048, 4096, 8192, 16384), (4096, 8192)

# Dense TFLOP/s (int8: TOP/s) from the makers' datasheets, whose figures with sparsity are halved here. A name
# is matched from its beginning, the longest first. fp32 is the CUDA cores' rate, with TF32 off.
_HOPPER_SXM = {"fp32": 66.9, "tf32": 494.7, "bf16": 989.4, "fp16": 989.4, "int8": 1978.9}
_A100 = {"fp32": 19.5, "tf32": 156.0, "bf16": 312.0, "fp16": 312.0, "int8": 624.0}
KNOWN: dict[str, tuple[str, dict[str, float]]] = {
    "NVIDIA H200": ("NVIDIA H200 datasheet, SXM", _HOPPER_SXM),
    "NVIDIA H100 80GB HBM3": ("NVIDIA H100 datasheet, SXM", _HOPPER_SXM),
    "NVIDIA A100": ("NVIDIA A100 datasheet", _A100),
    "NVIDIA L40S": (
        "NVIDIA L40S datasheet",
        {"fp32": 91.6, "tf32": 183.0, "bf16": 362.0, "fp16": 362.0, "int8": 733.0},
    ),
    "NVIDIA L4": (
        "NVIDIA L4 datasheet",
        {"fp32": 30.3, "tf32": 60.0, "bf16": 121.0, "fp16": 121.0, "int8": 242.5},
    ),
    "NVIDIA A10": (
        "NVIDIA A10 datasheet",
        {"fp32": 31.2, "tf32": 62.5, "bf16": 125.0, "fp16": 125.0, "int8": 250.0},
    ),
}


def known(gpu: str) -> tuple[str, dict[str, float]] | None:
    """Source and dense peaks of a GPU by the name that the driver gives it; None for one not in the table."""
    for name in sorted(KNOWN, key=len, reverse=True):
        if gpu == name or gpu.startswith((f"{name} ", f"{name}-")):
            return KNOWN[name]
    return None


def tflops(flop: float, milliseconds: float) -> float:
    """10^12 operations per second of `flop` operations in that time."""
    if milliseconds <= 0:
        raise ValueError(f"milliseconds: expected a time above 0, got {milliseconds}")
    return flop / milliseconds / 1e9


def run(plan: Plan, earlier: Mapping[str, Finding]) -> Finding:
    """A row per precision and size; facts: precision -> the best TFLOP/s, `source` of the known ones."""
    torch = installed.torch_on_gpu()
    stated = known(torch.cuda.get_device_name(0))
    found = Finding(facts={"source": stated[0] if stated else None, "best": {}})
    if stated is None:
        gpu = torch.cuda.get_device_name(0)
        found.skipped.append(f"known peaks: {gpu} has no row in benchmarks/gpu_check/peaks.py; add it")
    for precision in ("fp32", "tf32", "bf16", "fp16", "int8"):
        for size in QUICK_SIZES if plan.quick else SIZES:
            try:
                row = _measure(torch, precision, size, plan)
            except (Skip, RuntimeError) as error:  # out of memory, or a GPU without this kind of product
                found.skipped.append(f"{precision}, {size}: {first_line(error)}")
                continue
            row |= {"known_tflops": stated[1].get(precision) if stated else None}
            if row["known_tflops"]:
                row["share_of_known"] = row["tflops"] / row["known_tflops"]
            found.rows.append(row)
            best = found.facts["best"]
            best[precision] = max(best.get(precision, 0.0), row["tflops"])
        torch.cuda.empty_cache()
    return found


def _measure(torch: Any, precision: str, size: int, plan: Plan) -> dict[str, Any]:
    generator = torch.Generator("cuda").manual_seed(plan.seed)
    product = _product(torch, precision, size, generator)
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    try:
        timing = time_launch(lambda: {"product": product()}, plan.seconds_per_point)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
    return {
        "precision": precision,
        "size": size,
        "latency_ms": timing.latency_ms,
        "tflops": tflops(2 * size**3, timing.each_ms),
    }


def _product(torch: Any, precision: str, size: int, generator: Any) -> Callable[[], Any]:
    shape = (size, size)
    if precision == "int8":
        if not hasattr(torch, "_int_mm"):
            raise Skip(f"torch {torch.__version__} has no int8 product")
        a, b = (
            torch.randint(-127, 128, shape, dtype=torch.int8, device="cuda", generator=generator)
            for _ in range(2)
        )
        return lambda: torch._int_mm(a, b.t())  # the second one by columns: the layout tensor cores read
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    a, b = (torch.randn(shape, device="cuda", generator=generator).to(dtype) for _ in range(2))
    return lambda: torch.mm(a, b)


def shares(rate_tflops: float, precision: str, earlier: Mapping[str, Finding]) -> dict[str, float | None]:
    """How much of the matrix peak a rate is: of what this run measured, and of what the maker states."""
    peak = earlier.get("peak", Finding())
    best = peak.facts.get("best", {}).get(precision)
    stated = next((row["known_tflops"] for row in peak.rows if row["precision"] == precision), None)
    return {
        "share_of_measured": rate_tflops / best if best else None,
        "share_of_known": rate_tflops / stated if stated else None,
    }
