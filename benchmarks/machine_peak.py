"""What a large matrix product reaches on this processor, and how many operations a request takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZE, QUICK_SIZE = 2048, 256
SECONDS, QUICK_SECONDS = 3.0, 0.1
GIGA = 1e9


def gemm(threads: int, quick: bool = False) -> dict[str, float]:
    """Precision -> 10^9 operations a second of the best product within some seconds; int8 where torch has it.

    Random numbers: a product of zeros is no measure on every processor.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    size, seconds = (QUICK_SIZE, QUICK_SECONDS) if quick else (SIZE, SECONDS)
    draw = torch.Generator().manual_seed(7)
    a, b = (torch.randn((size, size), generator=draw) for _ in range(2))
    whole = [(one * 40).clamp(-127, 127).to(torch.int8) for one in (a, b)]
    products: dict[str, Callable[[], Any]] = {
        "fp32": lambda: torch.mm(a, b),
        "bf16": lambda: torch.mm(low[0], low[1]),
        "int8": lambda: torch._int_mm(*whole),
    }
    low = [one.to(torch.bfloat16) for one in (a, b)]
    try:
        return {name: 2.0 * size**3 / best_s(product, seconds) / GIGA for name, product in products.items()}
    finally:
        torch.set_num_threads(before)


def best_s(work: Callable[[], Any], seconds: float) -> float:
    """The shortest of all runs that fit into so many seconds, two at least: the first one warms up."""
    times: list[float] = []
    until = time.perf_counter() + seconds
    while len(times) < 2 or time.perf_counter() < until:
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def operations(repository: Path, preset: str) -> dict[str, int]:
    """Model -> multiplications and additions of one row (`torch.utils.flop_counter`: products, convolutions,
    attention), counted on the network that was exported, every modality present."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from export import contract, example_inputs
    from export.pipelines import PRESETS

    found = {}
    entry = PRESETS[preset]
    for model in entry.models(preset):
        module = entry.served_module(preset, model, None, entry.default_fusion(preset)).eval()
        module.requires_grad_(False)  # the counter's hooks trip over parameters that want a gradient
        drawn = example_inputs.draw(contract.load(repository, model), 1, seed=7)
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            module(*(torch.from_numpy(value) for value in drawn.values()))
        found[model] = int(counter.get_total_flops())
    return found
