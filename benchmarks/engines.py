"""What one request costs in the networks alone, by engine and precision: no server, no decoding.

Every setting runs the same `model.onnx` on the same drawn tensors, one request with everything present, in
rounds that take turns: what else the machine does hits all of them alike. Ratios are medians over rounds of
two times of the same round. Beside the clock's time stands the processor's, of all threads, which does not
grow while other processes have the cores.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export import contract, cpu_engines
from export.example_inputs import draw
from export.parity import Arrays, Run
from export.pipelines import pipeline_of
from export.precision.chain import Chain
from serving.control import REPOSITORY

SEED = 7
WARM_UP = 3
FILE = "model.onnx"
BASELINE = "onnxruntime fp32"
SERVED = "as configured"
SETTINGS = {  # name -> engine and precision of every model
    BASELINE: ("onnxruntime", "fp32"),
    "openvino fp32": ("openvino", "fp32"),
    "openvino bf16": ("openvino", "bf16"),
}
# model -> milliseconds: (2,) of the clock, and of the processor over all threads
Spent = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Plan:
    """rounds: of all settings; threads: of each engine; engines: folder of model folders, None: version 1 of
    the repository.
    """

    rounds: int = 60
    threads: int = 0
    engines: Path | None = None
    repository: Path = REPOSITORY

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise ValueError(f"--rounds: expected at least 1, got {self.rounds}")

    def file(self, model: str) -> Path:
        """Of the model's engine."""
        return (self.engines / model if self.engines else self.repository / model / "1") / FILE


def timed(run: Run, model: str, spent: Spent) -> Run:
    """The same, noting in `spent` what every call took."""

    def running(inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        began = np.array([time.perf_counter(), time.process_time()])
        answer = run(inputs)
        spent[model] = (np.array([time.perf_counter(), time.process_time()]) - began) * 1e3
        return answer

    return running


def once(chain: Chain, engines: Mapping[str, Run], inputs: Arrays) -> tuple[Arrays, Spent]:
    """All tensors of one request, and the milliseconds of each model."""
    spent: Spent = {}
    return chain.answers({name: timed(run, name, spent) for name, run in engines.items()}, inputs), spent


def measure(preset: str, plan: Plan) -> dict[str, Any]:
    """Figures of every setting, by model and for the whole chain.

    errors: ValueError for a preset that no CPU pipeline serves, FileNotFoundError for an engine not exported
    """
    chain = chain_of(preset, plan)
    threads = plan.threads or len(os.sched_getaffinity(0))
    settings = {name: dict.fromkeys(chain.models, setting) for name, setting in _possible().items()}
    settings[SERVED] = {promised.name: cpu_engines.configured(promised) for promised in chain.contracts}
    loaded: dict[tuple[str, str, str], Run] = {}
    for chosen in settings.values():
        for model, (engine, precision) in chosen.items():
            key = (model, engine, precision)
            if key not in loaded:
                loaded[key] = cpu_engines.runtime(plan.file(model), engine, precision, threads)
    runs = {
        name: {model: loaded[(model, *setting)] for model, setting in chosen.items()}
        for name, chosen in settings.items()
    }
    times, answers = _rounds(chain, runs, plan.rounds)
    return {
        "preset": preset,
        "threads": threads,
        "rounds": plan.rounds,
        "configured": {model: " ".join(setting) for model, setting in settings[SERVED].items()},
        "settings": {
            name: figures(times, name) | {"max_rel": _apart(chain, answers[BASELINE], answers[name])}
            for name in settings
        },
    }


def chain_of(preset: str, plan: Plan) -> Chain:
    """The engines that one request of `preset` runs, from the ensemble's configuration for the CPU."""
    pipeline = pipeline_of(preset)
    steps = contract.load(plan.repository, pipeline, "cpu").steps
    steps = tuple(step for step in steps if step.model.startswith(f"{preset}_"))
    promised = [contract.load(plan.repository, step.model, "cpu") for step in steps]
    engines = [one for one in promised if one.engine in cpu_engines.ENGINES]
    if not engines:
        raise ValueError(f"preset: expected one that {pipeline} serves on a CPU, got {preset}")
    for one in engines:
        if not plan.file(one.name).is_file():
            raise FileNotFoundError(f"{plan.file(one.name)} is missing; run `python -m export {preset}`")
    return Chain(engines)


def drawn(chain: Chain) -> Arrays:
    """What no engine makes, for one request: (1, ...) of each."""
    found: Arrays = {}
    for promised in chain.contracts:
        found = draw(promised, 1, SEED) | found
    return {name: found[name] for name in chain.inputs}


def _possible() -> dict[str, tuple[str, str]]:
    return {
        name: (engine, precision)
        for name, (engine, precision) in SETTINGS.items()
        if engine == "onnxruntime" or cpu_engines.supports(precision)
    }


def _rounds(
    chain: Chain, runs: Mapping[str, Mapping[str, Run]], rounds: int
) -> tuple[dict[str, list[Spent]], dict[str, Arrays]]:
    """Setting -> what every round spent, and its tensors; each round begins with another setting."""
    names, inputs = list(runs), drawn(chain)
    answers = {
        name: once(chain, engines, inputs)[0] for name, engines in runs.items() for _ in range(WARM_UP)
    }
    times: dict[str, list[Spent]] = {name: [] for name in names}
    for turn in range(rounds):
        for position in range(len(names)):
            name = names[(turn + position) % len(names)]
            times[name].append(once(chain, runs[name], inputs)[1])
    return times, answers


def figures(times: Mapping[str, Sequence[Spent]], name: str) -> dict[str, Any]:
    """Milliseconds and how many times faster than the baseline, per model and in all."""
    models = {model: _column(times, name, (model,)) for model in times[name][0]}
    return {"models": models, "request": _column(times, name, tuple(models))}


def _column(times: Mapping[str, Sequence[Spent]], name: str, models: tuple[str, ...]) -> dict[str, float]:
    """Figures of some models together."""
    mine, base = (
        np.array([sum(spent[model] for model in models) for spent in times[one]]) for one in (name, BASELINE)
    )  # (rounds, 2)
    (clock, processor), ratios = np.median(mine, axis=0), np.median(base / mine, axis=0)
    return {
        "median_ms": round(float(clock), 3),
        "min_ms": round(float(mine[:, 0].min()), 3),
        "processor_ms": round(float(processor), 3),
        "faster": round(float(ratios[0]), 2),
        "faster_at_best": round(float(base[:, 0].min() / mine[:, 0].min()), 2),
        "less_processor": round(float(ratios[1]), 2),
    }


def _apart(chain: Chain, wanted: Arrays, got: Arrays) -> dict[str, float]:
    """Output of an engine -> largest difference, as a share of its largest value."""
    made = [tensor.name for promised in chain.contracts for tensor in promised.outputs]
    return {
        name: round(float(np.abs(got[name] - wanted[name]).max() / max(np.abs(wanted[name]).max(), 1e-9)), 6)
        for name in made
        if np.issubdtype(wanted[name].dtype, np.floating)
    }


def table(result: Mapping[str, Any]) -> str:
    """Milliseconds (median), how many times faster, and how many times less of the processor, for people."""
    settings = result["settings"]
    models = list(settings[BASELINE]["models"])
    width = max(map(len, [*models, "request"]))
    lines = [" " * width + "".join(f"{name:>30}" for name in settings)]
    for model in (*models, "request"):
        cells = [one["request"] if model == "request" else one["models"][model] for one in settings.values()]
        lines.append(model.ljust(width) + "".join(map(_cell, cells)))
    return "\n".join(lines)


def _cell(cell: Mapping[str, float]) -> str:
    return f"{cell['median_ms']:>11.2f} ms {cell['faster']:>6.2f} x {cell['less_processor']:>6.2f}x"
