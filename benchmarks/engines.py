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
from export.contract import Contract
from export.example_inputs import draw
from export.parity import Arrays, Run
from export.pipelines import pipeline_of
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


@dataclass(frozen=True)
class Chain:
    """The engines of one request in the order of the ensemble's steps, and what they read.

    maps: model -> (tensor of the model -> wire, for its inputs), the same for its outputs
    wires: what no engine makes, drawn: (1, ...) of each
    """

    contracts: Mapping[str, Contract]
    maps: Mapping[str, tuple[Mapping[str, str], Mapping[str, str]]]
    wires: Arrays

    def run(self, engines: Mapping[str, Run]) -> tuple[Arrays, Spent]:
        """All wires of one request, and the milliseconds of each model."""
        wires, spent = dict(self.wires), {}
        for model, (inputs, outputs) in self.maps.items():
            sent = {name: wires[wire] for name, wire in inputs.items()}
            began = np.array([time.perf_counter(), time.process_time()])
            answer = engines[model](sent)
            spent[model] = (np.array([time.perf_counter(), time.process_time()]) - began) * 1e3
            wires |= {wire: answer[name] for name, wire in outputs.items()}
        return wires, spent


def measure(preset: str, plan: Plan) -> dict[str, Any]:
    """Figures of every setting, by model and for the whole chain.

    errors: ValueError for a preset that no CPU pipeline serves, FileNotFoundError for an engine not exported
    """
    chain = chain_of(preset, plan)
    threads = plan.threads or len(os.sched_getaffinity(0))
    settings = {name: dict.fromkeys(chain.maps, setting) for name, setting in _possible().items()}
    settings[SERVED] = {
        model: cpu_engines.configured(promised) for model, promised in chain.contracts.items()
    }
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
    promised = {step.model: contract.load(plan.repository, step.model, "cpu") for step in steps}
    engines = {name: one for name, one in promised.items() if one.engine in cpu_engines.ENGINES}
    if not engines:
        raise ValueError(f"preset: expected one that {pipeline} serves on a CPU, got {preset}")
    for model in engines:
        if not plan.file(model).is_file():
            raise FileNotFoundError(f"{plan.file(model)} is missing; run `python -m export {preset}`")
    wires: Arrays = {}
    for step in steps:
        if step.model in engines:
            drawn = draw(engines[step.model], 1, SEED)
            wires = {wire: drawn[name] for name, wire in step.inputs.items()} | wires
    maps = {step.model: (step.inputs, step.outputs) for step in steps if step.model in engines}
    return Chain(engines, maps, wires)


def _possible() -> dict[str, tuple[str, str]]:
    return {
        name: (engine, precision)
        for name, (engine, precision) in SETTINGS.items()
        if engine == "onnxruntime" or cpu_engines.supports(precision)
    }


def _rounds(
    chain: Chain, runs: Mapping[str, Mapping[str, Run]], rounds: int
) -> tuple[dict[str, list[Spent]], dict[str, Arrays]]:
    """Setting -> what every round spent, and its wires; each round begins with another setting."""
    names = list(runs)
    answers = {name: chain.run(engines)[0] for name, engines in runs.items() for _ in range(WARM_UP)}
    times: dict[str, list[Spent]] = {name: [] for name in names}
    for turn in range(rounds):
        for position in range(len(names)):
            name = names[(turn + position) % len(names)]
            times[name].append(chain.run(runs[name])[1])
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
    """Wire that an engine makes -> largest difference, as a share of its largest value."""
    made = [wire for _, outputs in chain.maps.values() for wire in outputs.values()]
    return {
        wire: round(float(np.abs(got[wire] - wanted[wire]).max() / max(np.abs(wanted[wire]).max(), 1e-9)), 6)
        for wire in made
        if np.issubdtype(wanted[wire].dtype, np.floating)
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
