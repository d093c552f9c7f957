"""Part `absent_rows`: what an encoder costs when rows of a batch are absent, in each way to leave them out.

dense    every row is computed, the mask zeroes the absent ones: one graph, one CUDA graph
chosen   the present rows are gathered, computed and put back: as many rows as there are, but a size per mask
wrapped  the graph with NonZero, Gather and ScatterND inside, where a TensorRT parser takes it
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.gpu_check import building, installed
from benchmarks.gpu_check.clock import Launch, first_line, time_launch
from benchmarks.gpu_check.findings import Finding, Plan, Skip
from benchmarks.gpu_check.runners import Runner, Tensors, TorchRunner, on_device, on_host
from benchmarks.gpu_check.subjects import Subject, of_one_row, subjects

if TYPE_CHECKING:
    from export.contract import Contract
    from export.parity import Arrays, ParityRow

COLUMNS = (
    "model",
    "runner",
    "precision",
    "batch",
    "present",
    "way",
    "latency_ms",
    "items_per_s",
    "graph",
    "ok",
    "max_abs",
)
SHARES, QUICK_SHARES = (1.0, 0.75, 0.5, 0.25), (1.0, 0.5)
PRECISION = "fp32"


def run(plan: Plan, earlier: Mapping[str, Finding]) -> Finding:
    """A row per encoder, engine, share of present rows and way."""
    torch = installed.torch_on_gpu()
    found = Finding()
    for preset in plan.presets:
        try:
            for subject in subjects(preset):
                _check(subject, plan, found)
                subject.module.cpu()
                torch.cuda.empty_cache()
        except Skip as reason:
            found.skipped.append(f"{preset}: {reason}")
    return found


@dataclass(frozen=True)
class Ways:
    """The engines of one subject: of whole requests, of single rows, and the wrapped one where it builds."""

    dense: Runner
    rows: Runner
    wrapped: Runner | None = None


def _check(subject: Subject, plan: Plan, found: Finding) -> None:
    from export import absent_rows

    if absent_rows.mask_of(subject.contract) is None:
        return  # a fusion: its masks say what to look at, not what to compute
    subject.module.cuda()
    for name in ("torch", *building.TARGETS):
        try:
            ways = _of_torch(subject) if name == "torch" else _of_tensorrt(subject, name, plan, found)
            for share in QUICK_SHARES if plan.quick else SHARES:
                _measure(subject, plan, found, ways, share)
        except Skip as reason:
            found.skipped.append(f"{subject.name}, {name}: {reason}")
        except Exception as error:  # of a builder or of CUDA; the next engine may still be right
            found.faults.append(f"{subject.name}, {name}: {first_line(error)}")


def _of_torch(subject: Subject) -> Ways:
    single = of_one_row(subject)
    return Ways(
        TorchRunner(subject.module, subject.contract, PRECISION),
        TorchRunner(single.module, single.contract, PRECISION),
    )


def _of_tensorrt(subject: Subject, target: str, plan: Plan, found: Finding) -> Ways:
    single = of_one_row(subject)
    dense, _ = building.engine(subject, target, PRECISION, plan.work)
    same = single.contract is subject.contract
    rows = dense if same else building.engine(single, target, PRECISION, plan.work)[0]
    try:
        wrapped = building.wrapped_engine(subject, target, plan.work)
    except Exception as error:  # the parser's own: TensorRT-RTX 1.7 has no NonZero
        found.skipped.append(f"{subject.name}, {target}, wrapped: {first_line(error)}")
        return Ways(dense, rows)
    return Ways(dense, rows, wrapped)


def _measure(subject: Subject, plan: Plan, found: Finding, ways: Ways, share: float) -> None:
    from export.example_inputs import draw, zero_absent

    contract, batch = subject.contract, subject.contract.max_batch
    mask_name, per_request = _mask(contract)
    arrays = draw(contract, batch, seed=plan.seed)
    arrays[mask_name] = mask(batch, per_request, share)
    zero_absent(arrays, mask_name)
    inputs, present = on_device(arrays), arrays[mask_name].ravel()
    launches = {"dense": ways.dense.bind(inputs), "chosen": of_present(ways.rows, contract, inputs, present)}
    if ways.wrapped:
        launches["wrapped"] = ways.wrapped.bind(inputs)
    answers = {way: on_host(launch()) for way, launch in launches.items()}
    for way, launch in launches.items():
        timing = time_launch(launch, plan.seconds_per_point, capture=ways.dense.captures)
        rows = _compared(contract, way, arrays, answers)
        found.faults += [f"{subject.name}, {way}, {share:.0%}: {row.remark}" for row in rows if not row.ok]
        row = {
            "preset": subject.preset,
            "model": subject.name,
            "runner": ways.dense.name,
            "precision": PRECISION,
            "batch": batch,
            "present": float(present.mean()),
            "way": way,
            "latency_ms": timing.latency_ms,
            "items_per_s": batch / timing.each_ms * 1e3,
            "graph": timing.graph,
            "ok": all(row.ok for row in rows),
            "max_abs": max(row.max_abs for row in rows),
        }
        found.rows.append(row)
        plan.say(f"{subject.name}, {ways.dense.name}, {share:.0%} present, {way}: {row['latency_ms']:.3f} ms")


def _compared(contract: Contract, way: str, arrays: Arrays, answers: Mapping[str, Arrays]) -> list[ParityRow]:
    """A way's answer beside the dense one."""
    from export import parity

    return parity.compare(contract, way, lambda _: answers[way], [(arrays, answers["dense"])])


def _mask(contract: Contract) -> tuple[str, int]:
    from export import absent_rows

    tensor = absent_rows.mask_of(contract)
    if tensor is None:
        raise ValueError(f"{contract.name}: expected an input that says which rows are there")
    return tensor.name, tensor.dims[0]


def mask(batch: int, rows: int, share: float) -> np.ndarray:
    """(batch, rows) bool, `share` of all rows present and spread evenly, at least the first."""
    count = max(1, round(batch * rows * share))
    chosen = np.zeros(batch * rows, bool)
    chosen[np.linspace(0, batch * rows - 1, count).round().astype(int)] = True
    return chosen.reshape(batch, rows)


def of_present(rows: Runner, contract: Contract, inputs: Tensors, present: np.ndarray) -> Launch:
    """A launch that gathers the present rows, computes them and puts them into zeros, all on the device.

    rows: of the contract of single rows; present: (batch * rows per request,) bool
    """
    import torch

    _, per_request = _mask(contract)
    device = inputs[contract.inputs[0].name].device
    index = torch.from_numpy(np.flatnonzero(present)).to(device)
    flat = {one.name: _flattened(inputs[one.name], per_request) for one in contract.inputs}
    gathered = {name: tensor.index_select(0, index) for name, tensor in flat.items()}
    inner = rows.bind(gathered)
    shapes = {one.name: (len(present) // per_request, *one.dims) for one in contract.outputs}

    def launch() -> dict[str, Any]:
        for name, tensor in flat.items():
            torch.index_select(tensor, 0, index, out=gathered[name])
        answers = {}
        for name, found in inner().items():
            zeros = torch.zeros((len(present), *found.shape[1:]), dtype=found.dtype, device=found.device)
            answers[name] = zeros.index_copy_(0, index, found).reshape(shapes[name])
        return answers

    return launch


def _flattened(tensor: Any, per_request: int) -> Any:
    """(batch, rows, ...) -> (batch * rows, 1, ...); a tensor of one row per request is its own."""
    if per_request == 1:
        return tensor
    return tensor.reshape(tensor.shape[0] * per_request, 1, *tensor.shape[2:])
