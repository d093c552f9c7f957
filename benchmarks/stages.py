"""Where the time of one request goes: Triton's own statistics per model, for requests sent one after another.

Closed loop with a single client: latency without queueing, no statement about throughput.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from crossfuse import Client
from tqdm import tqdm

from training.weld_folder import WeldRun, find_runs
from training.weld_runs import generate

PHASES = ("queue", "compute_input", "compute_infer", "compute_output")
WARM_UP = 10
PIPELINE = "weld_inspection"


@dataclass(frozen=True)
class Stage:
    """Mean milliseconds that one request spent in one model, by Triton's phases."""

    model: str
    ms: Mapping[str, float]

    @property
    def total_ms(self) -> float:
        """All phases together."""
        return sum(self.ms.values())


def payloads_of(run: WeldRun) -> dict[str, Any]:
    """All four modalities of a weld run, read into memory: a disk is not what is measured."""
    if run.video is None or run.audio is None or run.sensor is None or not run.photos:
        raise ValueError(f"{run.id}: expected a weld with all four modalities; choose another folder")
    return {
        "video": run.video.read_bytes(),
        "image": [photo.read_bytes() for photo in run.photos],
        "audio": run.audio.read_bytes(),
        "sensor": run.sensor.read_bytes(),
    }


def welds(folder: Path | None, seed: int, work: Path) -> list[dict[str, Any]]:
    """Payloads of the runs in `folder`, or of twelve simulated ones, one per class."""
    root = folder or work / f"runs-{seed}"
    if folder is None and not (root / "manifest.csv").exists():
        generate(root, 1, seed)
    return [payloads_of(run) for run in find_runs(root)]


def totals(server: triton.InferenceServerClient) -> dict[str, dict[str, int]]:
    """Model -> phase -> nanoseconds since the server started, and `count`."""
    statistics = server.get_inference_statistics(as_json=True)["model_stats"]
    found = {}
    for one in statistics:
        phases = one.get("inference_stats", {})
        found[one["name"]] = {phase: int(phases.get(phase, {}).get("ns", 0)) for phase in PHASES}
        found[one["name"]]["count"] = int(phases.get("success", {}).get("count", 0))
    return found


def measure(url: str, requests: list[dict[str, Any]], repeats: int) -> dict[str, Any]:
    """Send `repeats` requests in turn; client latency and the share of every model."""
    server = triton.InferenceServerClient(url)
    latencies = []
    with Client(url) as client:
        for index in range(WARM_UP):
            client.infer(PIPELINE, **requests[index % len(requests)])
        before = totals(server)
        for index in tqdm(range(repeats), desc="stages", unit="request"):
            started = time.perf_counter()
            client.infer(PIPELINE, **requests[index % len(requests)])
            latencies.append((time.perf_counter() - started) * 1e3)
        after = totals(server)
    # A server may serve other pipelines too: what was not asked of this one's is none of its stages.
    asked = [name for name in after if after[name]["count"] > before[name]["count"] and name != PIPELINE]
    stages = [stage(name, before[name], after[name]) for name in asked]
    percentiles = np.percentile(latencies, [50, 95, 99])
    return {
        "requests": repeats,
        "latency_ms": dict(zip(("p50", "p95", "p99"), map(float, percentiles), strict=True)),
        "engines_ms": sum(
            one.ms["compute_infer"] for one in stages if one.model.endswith(("_encoder", "_fusion"))
        ),
        "stages": {one.model: dict(one.ms) | {"total": one.total_ms} for one in stages},
    }


def stage(name: str, before: Mapping[str, int], after: Mapping[str, int]) -> Stage:
    """The difference of two readings, per request."""
    count = after["count"] - before["count"]
    if count < 1:
        raise ValueError(f"{name}: expected requests between the two readings, got none")
    return Stage(name, {phase: (after[phase] - before[phase]) / count / 1e6 for phase in PHASES})


def table(result: Mapping[str, Any]) -> str:
    """The result for a terminal."""
    width = max(map(len, result["stages"]))
    head = f"{'ms per request':<{width}}" + "".join(f"{phase:>16}" for phase in (*PHASES, "total"))
    rows = [
        f"{name:<{width}}" + "".join(f"{ms[phase]:16.2f}" for phase in (*PHASES, "total"))
        for name, ms in result["stages"].items()
    ]
    latency = ", ".join(f"{name} {value:.1f}" for name, value in result["latency_ms"].items())
    return "\n".join([head, *rows, f"engines {result['engines_ms']:.1f} ms; client latency {latency} ms"])
