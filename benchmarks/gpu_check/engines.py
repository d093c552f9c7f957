"""Part `engines`: every dense graph as an engine of every precision: right, how fast, how near to the peak.

The reference is PyTorch in fp32 with TF32 off: on the CPU where that takes seconds, else on the GPU.
PyTorch on the GPU, eager and compiled, and ONNX Runtime stand beside the engines as yardsticks: all but eager
fp32, which is the reference on another processor, are compared and not judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.gpu_check import building, calibration, installed
from benchmarks.gpu_check.clock import Timing, first_line, time_launch
from benchmarks.gpu_check.findings import BASE, Finding, Plan, Row, Skip
from benchmarks.gpu_check.peaks import shares, tflops
from benchmarks.gpu_check.runners import OnnxRuntimeRunner, Runner, TorchRunner, as_run, on_device, on_host
from benchmarks.gpu_check.subjects import Subject, flop_per_item, subjects

if TYPE_CHECKING:
    from export.parity import Arrays, ParityRow, Run

COLUMNS = (
    "model",
    "runner",
    "precision",
    "ok",
    "max_abs",
    "cosine",
    "batch",
    "latency_ms",
    "latency_p95_ms",
    "items_per_s",
    "tflops",
    "share_of_measured",
    "share_of_known",
    "graph",
    "build_s",
)
# Of the largest value. Another algorithm may be chosen under capture, whose sums round in another order.
REPLAY_TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2, "fp16": 5e-3, "int8": 2e-2}
COMPILED = ("fp32", "bf16")  # torch.compile takes a minute per model and shape: these two are the comparison


Built = tuple[Runner, float | None]  # and the seconds that building took, where that is worth a column
Make = Callable[[], Built]


@dataclass(frozen=True)
class Candidate:
    """One runner to try; judged: whether a difference from PyTorch is a failure of the check."""

    name: str
    precision: str
    make: Make
    judged: bool = True

    def __str__(self) -> str:
        return f"{self.name} {self.precision}"


@dataclass
class Bench:
    """One subject on the GPU, with everything that all its candidates share.

    expected: drawn cases and PyTorch's answers; real: items of the task and the same, which int8 is compared
              on, as it knows the ranges of real inputs only; empty where there are none here
    """

    subject: Subject
    plan: Plan
    earlier: Mapping[str, Finding]
    expected: list[tuple[Arrays, Arrays]]
    flop: int
    found: Finding = field(default_factory=Finding)
    real: list[tuple[Arrays, Arrays]] = field(default_factory=list)

    def row(self, candidate: Candidate) -> Row:
        """The columns that are the same for all figures of a candidate."""
        return {
            "preset": self.subject.preset,
            "model": self.subject.name,
            "trained": self.subject.trained,
            "runner": candidate.name,
            "precision": candidate.precision,
            "gflop_per_item": self.flop / 1e9,
        }


def run(plan: Plan, earlier: Mapping[str, Finding]) -> Finding:
    """A row per model, runner, precision and batch; facts: the whole parity table."""
    torch = installed.torch_on_gpu()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    found = Finding(facts={"parity": [], "graph_outputs": []})
    for preset in plan.presets:
        try:
            if "int8" in plan.precisions:
                calibration.tensors(preset)  # now, while all modules are on the CPU
            for subject in subjects(preset):
                bench = _bench(subject, plan, earlier, found)
                for candidate in candidates(bench):
                    check(bench, candidate)
                bench.subject.module.cpu()
                torch.cuda.empty_cache()
        except Skip as reason:
            found.skipped.append(f"{preset}: {reason}")
    return found


def _bench(subject: Subject, plan: Plan, earlier: Mapping[str, Finding], found: Finding) -> Bench:
    from export import parity

    on_device = subject.preset in BASE
    if on_device:  # minutes of one CPU core per case, and the GPU's fp32 has been compared on the small ones
        subject.module.cuda()
        flop = flop_per_item(subject, "cuda")
        reference = as_run(TorchRunner(subject.module, subject.contract, "fp32"))
    else:
        flop = flop_per_item(subject)
        reference = parity.pytorch(subject.module, subject.contract)
    expected = parity.references(reference, parity.cases(subject.contract))
    real = parity.references(reference, _real(subject, plan))
    subject.module.cuda()
    return Bench(subject, plan, earlier, expected, flop, found, real)


def _real(subject: Subject, plan: Plan) -> list[Arrays]:
    try:
        return calibration.batches(subject, calibration.JUDGED) if "int8" in plan.precisions else []
    except Skip:
        return []  # every int8 candidate says so by itself


def candidates(bench: Bench) -> Iterator[Candidate]:
    """What is tried for one subject: PyTorch, ONNX Runtime, TensorRT and TensorRT-RTX in every precision."""
    subject = bench.subject
    for precision in bench.plan.precisions:
        if precision != "int8":
            yield Candidate("torch", precision, _torch(subject, precision, False), precision == "fp32")
            if not bench.plan.quick and precision in COMPILED:
                yield Candidate("torch.compile", precision, _torch(subject, precision, True), judged=False)
        yield Candidate("onnxruntime", precision, _onnx_runtime(bench, precision), judged=False)
        for target, package in building.TARGETS.items():
            yield Candidate(package, precision, _tensorrt(bench, target, precision))


def _torch(subject: Subject, precision: str, compiled: bool) -> Make:
    return lambda: (TorchRunner(subject.module, subject.contract, precision, compiled), None)


def _onnx_runtime(bench: Bench, precision: str) -> Make:
    def make() -> Built:
        path = building.graph_of(bench.subject, precision, bench.plan.work)
        return OnnxRuntimeRunner(path, bench.subject.contract, precision), None

    return make


def _tensorrt(bench: Bench, target: str, precision: str) -> Make:
    return lambda: building.engine(bench.subject, target, precision, bench.plan.work)


def check(bench: Bench, candidate: Candidate) -> None:
    """Build, compare, time; whatever goes wrong is a line of the finding, and the next candidate's turn."""
    found, what = bench.found, f"{bench.subject.name}, {candidate}"
    try:
        runner, build_s = candidate.make()
        same = compare(bench, candidate, as_run(runner))
    except Skip as reason:
        found.skipped.append(f"{what}: {reason}")
        return
    except (
        Exception
    ) as error:  # builders, parsers and CUDA raise their own; one engine must not end the check
        (found.faults if candidate.judged else found.skipped).append(f"{what}: {first_line(error)}")
        return
    for batch in bench.plan.batches(bench.subject.contract.max_batch):
        try:
            row = measure(bench, candidate, runner, batch) | same | {"build_s": build_s}
        except Exception as error:  # as above
            found.faults.append(f"{what}, batch {batch}: {first_line(error)}")
            return
        found.rows.append(row)
        bench.plan.say(f"{what}, batch {batch}: {row['latency_ms']:.3f} ms, {row['items_per_s']:.0f}/s")


def compare(bench: Bench, candidate: Candidate, run: Run) -> Row:
    """The worst output's figures; a fault where a judged candidate is outside its tolerance."""
    from export import parity

    low = candidate.precision == "int8"
    if low and not bench.real:
        raise Skip("no real inputs to compare int8 on")
    constant: frozenset[str] = getattr(bench.subject.module, "constant_outputs", frozenset())
    try:
        rows = parity.compare(
            bench.subject.contract,
            str(candidate),
            run,
            bench.real if low else bench.expected,
            precision=candidate.precision,
            constant=constant if candidate.precision == "fp32" else (),
        )
    except LookupError as error:
        bench.found.skipped.append(f"{bench.subject.name}, {candidate}: not judged: {error.args[0]}")
        return {"ok": None}
    bench.found.facts["parity"] += [row.as_dict() for row in rows]
    if candidate.judged:
        bench.found.faults += [
            f"{row.model}, {row.engine}, {row.output}: {row.remark}; max abs {row.max_abs:.1e}, "
            f"tolerance {row.atol:.0e} + {row.rtol:.0e} of the value"
            for row in rows
            if not row.ok
        ]
    return worst(rows) | ({} if candidate.judged else {"ok": None})


def worst(rows: list[ParityRow]) -> Row:
    """One line for all outputs: the largest difference, the smallest cosine, and whether all are right."""
    return {
        "ok": all(row.ok for row in rows),
        "max_abs": max(row.max_abs for row in rows),
        "cosine": min(row.cosine for row in rows),
    }


def measure(bench: Bench, candidate: Candidate, runner: Runner, batch: int) -> Row:
    """Latency and throughput of one batch size, over inputs that are drawn like those of the comparison."""
    from export.example_inputs import draw

    inputs = on_device(draw(bench.subject.contract, batch, seed=bench.plan.seed))
    launch = runner.bind(inputs)
    plain = on_host(launch())
    timing = time_launch(launch, bench.plan.seconds_per_point, capture=runner.captures)
    _check_replay(bench, candidate, batch, plain, timing)
    rate = tflops(bench.flop * batch, timing.each_ms)
    return (
        bench.row(candidate)
        | figures(timing, batch)
        | {"tflops": rate}
        | shares(rate, candidate.precision, bench.earlier)
    )


def figures(timing: Timing, batch: int) -> Row:
    """What a timing says of a batch."""
    kept = {one.name: getattr(timing, one.name) for one in fields(timing) if one.name != "outputs"}
    return {"batch": batch, **kept, "items_per_s": batch / timing.each_ms * 1e3}


def _check_replay(
    bench: Bench, candidate: Candidate, batch: int, plain: Mapping[str, Any], timing: Timing
) -> None:
    """A replayed graph must answer what a plain launch answered: a graph may hold stale addresses."""
    if not timing.graph:
        return
    for name, replayed in on_host(timing.outputs).items():
        scale = float(np.abs(plain[name]).max()) or 1.0
        difference = float(np.abs(replayed.astype(np.float64) - plain[name]).max()) / scale
        if not difference <= REPLAY_TOLERANCE[candidate.precision]:
            bench.found.faults.append(
                f"{bench.subject.name}, {candidate}, batch {batch}, {name}: the CUDA graph's answer is "
                f"{difference:.1e} of the largest value from the plain one's"
            )
