"""The floor: what this machine does with the same work in one process, without a server around it.

Decoding, engines and precisions are those of the served configuration (`in_process`); batch size and the
division of the cores are the best of those tried. What is served is measured in turn with it.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from tqdm import tqdm

from benchmarks import machine_peak, offline
from benchmarks.goodput import said, spread
from benchmarks.in_process import InProcess, Rows, requests_of
from benchmarks.open_loop import METHOD, OPTIONS, OWN_CONNECTION
from benchmarks.verified import Subject

EFFICIENCY = 0.90  # of the floor, that serving is to keep
ADDED_MS, ADDED_SHARE = 5.0, 0.05  # that serving may add to a lone request, whichever is larger


@dataclass(frozen=True)
class Plan:
    """Seconds at each setting while the best is looked for, seconds and repeats with the best."""

    batches: tuple[int, ...] = (1, 2, 4, 8)
    sweep_s: float = 10.0
    point_s: float = 60.0
    repeats: int = 5
    lone: int = 60
    requests: int = 240
    quick: bool = False


QUICK: dict[str, Any] = {
    "batches": (1, 4),
    "sweep_s": 0.3,
    "point_s": 0.3,
    "repeats": 1,
    "lone": 3,
    "requests": 12,
    "quick": True,
}


@dataclass(frozen=True)
class Setting:
    """How the work is divided: so many batches side by side, each engine with so many threads."""

    workers: int
    threads: int
    batch: int


def settings(cores: int, batches: Sequence[int]) -> list[Setting]:
    """All cores on one batch, or a batch on each core."""
    splits = sorted({(1, cores), (cores, 1)})
    return [Setting(workers, threads, batch) for workers, threads in splits for batch in batches]


class Floor:
    """The pipeline in this process, loaded once per way to divide the cores."""

    def __init__(self, repository: Path, pipeline: str, requests: Rows) -> None:
        self._repository, self._pipeline, self._requests = repository, pipeline, requests
        self._loaded: dict[tuple[int, int], list[InProcess]] = {}

    def networks(self, setting: Setting) -> list[InProcess]:
        """One loaded pipeline per worker."""
        key = setting.workers, setting.threads
        if key not in self._loaded:
            self._loaded[key] = [
                InProcess(self._repository, self._pipeline, setting.threads) for _ in range(setting.workers)
            ]
        return self._loaded[key]

    def throughput(self, setting: Setting, seconds: float) -> float:
        """Answers a second; batches that were begun in time are finished and counted."""
        networks = self.networks(setting)
        items, lock = itertools.cycle(self._requests), threading.Lock()

        def work(network: InProcess) -> int:
            done = 0
            while time.perf_counter() < until:
                with lock:
                    batch = list(itertools.islice(items, setting.batch))
                network(batch)
                done += setting.batch
            return done

        for network in networks:
            network(self._requests[:1] * setting.batch)  # memory for this batch, before the clock runs
        started = time.perf_counter()
        until = started + seconds
        with ThreadPoolExecutor(len(networks)) as pool:
            done = sum(pool.map(work, networks))
        return done / (time.perf_counter() - started)

    def latency_ms(self, threads: int, count: int) -> float:
        """Median of requests one after another, each alone."""
        (network,) = self.networks(Setting(1, threads, 1))
        times = []
        for request in itertools.islice(itertools.cycle(self._requests), count + 1):
            started = time.perf_counter()
            network([request])
            times.append(time.perf_counter() - started)
        return float(np.median(times[1:])) * 1e3


def lone_latency_ms(subject: Subject, count: int) -> float:
    """The same through the server."""
    times = []
    with grpc.insecure_channel(subject.url, options=(*OPTIONS, OWN_CONNECTION)) as channel:
        call = channel.unary_unary(METHOD)
        for message in itertools.islice(itertools.cycle(subject.messages), count + 1):
            started = time.perf_counter()
            call(message)
            times.append(time.perf_counter() - started)
    return float(np.median(times[1:])) * 1e3


def measure(subject: Subject, repository: Path, plan: Plan) -> dict[str, Any]:
    """Find the best setting, then floor and server in turn."""
    cores = len(os.sched_getaffinity(0))
    floor = Floor(repository, subject.workload.pipeline, requests_of(subject.messages))
    tried = {}
    tries = settings(cores, plan.batches)
    for setting in tqdm(tries, desc="floor", unit="setting", file=sys.stderr):
        tried[setting] = floor.throughput(setting, plan.sweep_s)
    best = max(tried, key=lambda setting: tried[setting])
    floors, served, lone, lone_served, generator_ms = [], [], [], [], []
    for _ in tqdm(range(plan.repeats), desc="floor and server", unit="repeat", file=sys.stderr):
        floors.append(floor.throughput(best, plan.point_s))
        verdict = offline.burst(subject, plan.requests)
        served.append(offline.throughput(verdict))
        generator_ms.append(verdict.processor_s / len(verdict.recording) * 1e3)
        lone.append(floor.latency_ms(cores, plan.lone))
        lone_served.append(lone_latency_ms(subject, plan.lone))
    ratios = [one / other for one, other in zip(served, floors, strict=True)]
    result = {
        "plan": asdict(plan),
        "cores": cores,
        "settings": [asdict(setting) | {"throughput_hz": round(rate, 3)} for setting, rate in tried.items()],
        "best": asdict(best),
        "floor_hz": spread(floors),
        "served_hz": spread(served),
        "efficiency": spread(ratios),
        "generator_processor_ms_per_request": spread(generator_ms),
        "lone_floor_ms": spread(lone),
        "lone_served_ms": spread(lone_served),
        "machine": peak(repository, subject.workload.preset, cores, spread(floors)["median"], plan.quick),
    }
    return result | {"goals": goals(result)}


def peak(repository: Path, preset: str, cores: int, rate_hz: float, quick: bool) -> dict[str, Any]:
    """The floor's operations a second beside those of a large matrix product."""
    counted = machine_peak.operations(repository, preset)
    gemm = machine_peak.gemm(cores, quick)
    reached = rate_hz * sum(counted.values()) / machine_peak.GIGA
    return {
        "operations_per_request": counted,
        "gemm_gops": {name: round(value, 2) for name, value in gemm.items()},
        "floor_gops": round(reached, 3),
        "share_of_gemm": {name: round(reached / value, 4) for name, value in gemm.items()},
    }


def goals(result: Mapping[str, Any]) -> dict[str, Any]:
    """What serving may cost, and whether it keeps to that."""
    lone = result["lone_floor_ms"]["median"]
    allowed = max(ADDED_MS, ADDED_SHARE * lone)
    added = result["lone_served_ms"]["median"] - lone
    return {
        "efficiency": {"least": EFFICIENCY, "reached": result["efficiency"]["median"] >= EFFICIENCY},
        "added_ms": {"most": round(allowed, 3), "found": round(added, 3), "reached": added <= allowed},
    }


def table(result: Mapping[str, Any]) -> str:
    """The result for a terminal."""
    rows = [f"{'workers':>8} {'threads':>8} {'batch':>6} {'answers/s':>10}"]
    for one in result["settings"]:
        mark = "  best" if all(one[name] == value for name, value in result["best"].items()) else ""
        rows.append(
            f"{one['workers']:8d} {one['threads']:8d} {one['batch']:6d} {one['throughput_hz']:10.2f}{mark}"
        )
    machine = result["machine"]
    share = ", ".join(f"{value:.0%} of {name}" for name, value in machine["share_of_gemm"].items())
    added = result["goals"]["added_ms"]
    return "\n".join(
        [
            *rows,
            f"floor {said(result['floor_hz'], ' answers/s')}",
            f"served {said(result['served_hz'], ' answers/s')}, efficiency {said(result['efficiency'])}",
            f"a lone request: {said(result['lone_floor_ms'], ' ms')}, served "
            f"{said(result['lone_served_ms'], ' ms')}; {added['found']:.1f} ms more, {added['most']:.1f} "
            "allowed",
            f"the floor reaches {machine['floor_gops']:.1f} GOP/s: {share} (a large matrix product)",
        ]
    )
