"""How long a launch takes on the GPU, by CUDA events: one alone, many in a row, as a CUDA graph if it can be.

Warmed up first: loading, run-time compilation and handles stay out. Medians, since a GPU's clock moves.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# Enqueues one execution on torch's current stream, over buffers that stay; returns output name -> tensor.
Launch = Callable[[], dict[str, Any]]

WARM_UP_RUNS = 5
MIN_RUNS = 10


@dataclass(frozen=True)
class Timing:
    """latency_ms: median of single executions, the launch included; each_ms: of many enqueued at once.

    graph: whether a captured CUDA graph was replayed; if not, `remark` says why
    outputs: what the measured executions wrote
    """

    latency_ms: float
    latency_p95_ms: float
    each_ms: float
    graph: bool
    runs: int
    outputs: dict[str, Any]
    remark: str = ""


def time_launch(launch: Launch, budget_s: float, capture: bool = True) -> Timing:
    """Measure `launch` for about `budget_s` seconds on a stream of its own."""
    import torch

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP_RUNS):
            outputs = launch()
        stream.synchronize()
        replay, outputs, remark = (
            _captured(launch, stream)
            if capture
            else (launch, outputs, "no CUDA graph: it captures its own, or none")
        )
        singles = _singles(replay, budget_s / 2)
        each_ms = _together(replay, statistics.median(singles), budget_s / 2)
    torch.cuda.synchronize()
    return Timing(
        latency_ms=statistics.median(singles),
        latency_p95_ms=percentile(singles, 0.95),
        each_ms=each_ms,
        graph=not remark,
        runs=len(singles),
        outputs=outputs,
        remark=remark,
    )


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed."""
    if not values:
        raise ValueError("values: expected at least one, got none")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _captured(launch: Launch, stream: Any) -> tuple[Callable[[], Any], dict[str, Any], str]:
    """The replay of a CUDA graph of `launch` and its outputs; `launch` itself where it cannot be captured."""
    import torch

    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph, stream=stream):
            outputs = launch()
        graph.replay()
        stream.synchronize()
    except (
        Exception
    ) as error:  # what refuses depends on the engine: torch, TensorRT and CUDA each raise their own
        torch.cuda.synchronize()
        outputs = launch()
        stream.synchronize()
        return launch, outputs, f"no CUDA graph: {first_line(error)}"
    return graph.replay, outputs, ""


def first_line(error: BaseException) -> str:
    """The beginning of an error's text, for a cell of a table."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:160]


def _singles(replay: Callable[[], Any], budget_s: float) -> list[float]:
    import torch

    milliseconds: list[float] = []
    ends = time.perf_counter() + budget_s
    while len(milliseconds) < MIN_RUNS or time.perf_counter() < ends:
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        replay()
        end.record()
        end.synchronize()
        milliseconds.append(begin.elapsed_time(end))
    return milliseconds


def _together(replay: Callable[[], Any], single_ms: float, budget_s: float) -> float:
    import torch

    runs = max(MIN_RUNS, min(10_000, int(budget_s * 1e3 / max(single_ms, 1e-3))))
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    for _ in range(runs):
        replay()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / runs
