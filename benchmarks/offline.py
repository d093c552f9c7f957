"""Offline: everything at once. How many answers a second, and how full the batches of each model were."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import tritonclient.grpc as triton
from tqdm import tqdm

from benchmarks.goodput import said, spread
from benchmarks.verified import Subject, Verdict, at_once


@dataclass(frozen=True)
class Plan:
    """Requests at once, as many of them as the pipeline's gate lets in; and how often."""

    requests: int = 240
    repeats: int = 5


QUICK: dict[str, Any] = {"requests": 24, "repeats": 1}
Runs = dict[str, tuple[int, int]]  # model -> rows, executions since the server started


def executions(url: str) -> Runs:
    """Rows and executions of every model, over all its versions; an ensemble executes nothing itself."""
    with triton.InferenceServerClient(url) as server:
        statistics = server.get_inference_statistics(as_json=True).get("model_stats", [])
    found: Runs = {}
    for one in statistics:
        rows, runs = found.get(one["name"], (0, 0))
        found[one["name"]] = (
            rows + int(one.get("inference_count", 0)),
            runs + int(one.get("execution_count", 0)),
        )
    return found


def mean_batches(
    before: Mapping[str, tuple[int, int]], after: Mapping[str, tuple[int, int]]
) -> dict[str, float]:
    """Model -> rows per execution between two readings, of the models that executed something."""
    found = {}
    for name, (rows, runs) in after.items():
        rows_before, runs_before = before.get(name, (0, 0))
        if runs > runs_before:
            found[name] = round((rows - rows_before) / (runs - runs_before), 3)
    return found


def burst(subject: Subject, requests: int) -> Verdict:
    """So many requests at once.

    raises: RuntimeError when one of them failed: the throughput would be that of fewer
    """
    requests = min(requests, subject.workload.at_once)
    verdict = subject.replay(at_once(requests, len(subject.messages)))
    if (verdict.failed | verdict.wrong).any():
        figures = verdict.figures(1.0)
        raise RuntimeError(
            f"everything at once: expected {requests} right answers, got {figures['failed_codes']} and "
            f"{figures['wrong']} wrong ones; send fewer at once, or see the server's log"
        )
    return verdict


def throughput(verdict: Verdict) -> float:
    """Answers a second, from the first moment to the last answer."""
    return len(verdict.recording) / float(verdict.recording.latency_s.max())


def batches_of(subject: Subject, work: Callable[[], Any]) -> dict[str, float]:
    """Mean batches of the pipeline's models while something was done."""
    before = executions(subject.url)
    work()
    after = mean_batches(before, executions(subject.url))
    after.pop(subject.workload.pipeline, None)
    return after


def measure(subject: Subject, plan: Plan) -> dict[str, Any]:
    """Throughput of every repeat, mean batches over all of them."""
    verdicts: list[Verdict] = []

    def work() -> None:
        for _ in tqdm(range(plan.repeats), desc="offline", unit="burst", file=sys.stderr):
            verdicts.append(burst(subject, plan.requests))

    batches = batches_of(subject, work)
    processor_s = [one.processor_s / len(one.recording) * 1e3 for one in verdicts]
    return {
        "plan": asdict(plan),
        "throughput_hz": spread([throughput(one) for one in verdicts]),
        "mean_batch": batches,
        "generator_processor_ms_per_request": spread(processor_s),
    }


def table(result: dict[str, Any]) -> str:
    """The result for a terminal."""
    width = max(map(len, result["mean_batch"]), default=0)
    rows = [f"{name:<{width}} {size:6.2f}" for name, size in result["mean_batch"].items()]
    throughput = said(result["throughput_hz"], " answers/s")
    return "\n".join(
        [f"{'mean batch':<{width}}", *rows, f"{result['plan']['requests']} requests at once: {throughput}"]
    )
