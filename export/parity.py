"""Parity is a table: the engine against PyTorch, one row per output, one tolerance per precision."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from export.contract import Contract
from export.example_inputs import draw
from export.tolerances import EXACT, Tolerance, tolerance_of

if TYPE_CHECKING:
    from torch import nn

Arrays = dict[str, np.ndarray]
Run = Callable[[Mapping[str, np.ndarray]], Arrays]


ALIVE = 1e-6  # an output whose largest value is below this agrees with anything: nothing was compared


@dataclass(frozen=True)
class ParityRow:
    """The worst of all compared batches for one output of one engine file.

    apart: the norm of all differences over that of PyTorch's answers
    """

    model: str
    engine: str
    output: str
    max_abs: float
    max_rel: float
    cosine: float
    reference_abs_max: float
    atol: float
    rtol: float
    ok: bool
    remark: str = ""
    apart: float = math.nan

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON; a figure that is not finite becomes None, which JSON can say."""
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in asdict(self).items()
        }


def onnx_runtime(path: Path, threads: int = 1, optimised: bool = True) -> Run:
    """A function that runs the ONNX file on the CPU: input name -> array to output name -> array.

    optimised: False for node after node as they stand, casts that round on purpose included
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, dict(inputs)), strict=True))


def pytorch(module: nn.Module, contract: Contract) -> Run:
    """The same for the PyTorch module that was exported."""
    import torch

    def run(inputs: Mapping[str, np.ndarray]) -> Arrays:
        tensors = [torch.from_numpy(np.ascontiguousarray(inputs[tensor.name])) for tensor in contract.inputs]
        with torch.no_grad():
            outputs = module(*tensors)
        outputs = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
        names = [tensor.name for tensor in contract.outputs]
        return {name: output.numpy() for name, output in zip(names, outputs, strict=True)}

    return run


def cases(contract: Contract, recorded: Mapping[str, np.ndarray] | None = None) -> list[Arrays]:
    """Batches of 1 and 2, whole and with absent rows; the largest with absent rows; the recorded tensors.

    The largest batch once is enough: its dense graph computes all rows whatever the mask says.

    recorded: input name -> (runs, ...) of real decoded welds; at most the contract's batch of them is used.
    """
    batches = [(1, False), (1, True), (2, False), (2, True), (contract.max_batch, True)]
    drawn = [draw(contract, batch, seed, absent) for seed, (batch, absent) in enumerate(batches, start=1)]
    names = {tensor.name for tensor in contract.inputs}
    if recorded is not None and names <= set(recorded):
        drawn.append({name: recorded[name][: contract.max_batch] for name in names})
    return drawn


def references(run: Run, inputs: Iterable[Arrays]) -> list[tuple[Arrays, Arrays]]:
    """Pair every case with what PyTorch answers, once for all engine files of a model."""
    return [(case, run(case)) for case in inputs]


def compare(
    contract: Contract,
    engine: str,
    run: Run,
    expected: Iterable[tuple[Arrays, Arrays]],
    precision: str = "fp32",
    constant: Collection[str] = (),
) -> list[ParityRow]:
    """Run every case on the engine and keep the worst figures of each output, in the contract's order.

    constant: outputs that depend on no input but the mask, as the module itself says: they have to be equal
              to the last bit and may be zero, where any other output of zeros proves nothing
    """
    pairs = [(answer, run(case)) for case, answer in expected]
    rows = []
    for tensor in contract.outputs:
        same = tensor.name in constant
        tolerance = EXACT if same else tolerance_of(tensor.name, precision)
        wanted = [answer[tensor.name] for answer, _ in pairs]
        got = [answer[tensor.name] for _, answer in pairs]
        # Items of a task are whole: a status of nothing but zeros is what it should be.
        alive = not same and not (precision == "int8" and tolerance == EXACT)
        row = _row((contract.name, engine, tensor.name), wanted, got, tolerance, alive)
        if same and row.ok and _varies(wanted):
            row = replace(row, ok=False, remark="PyTorch's answer varies, but the module calls it constant")
        rows.append(row)
    return rows


def _row(
    names: tuple[str, str, str],
    wanted: list[np.ndarray],
    got: list[np.ndarray],
    tolerance: Tolerance,
    alive: bool = True,
) -> ParityRow:
    remark = next(
        (
            f"shape {b.shape}, expected {a.shape}"
            for a, b in zip(wanted, got, strict=True)
            if a.shape != b.shape
        ),
        "",
    )
    if remark:
        nan = float("nan")
        return ParityRow(*names, nan, nan, nan, nan, tolerance.atol, tolerance.rtol, False, remark)
    a = np.concatenate([array.ravel() for array in wanted]).astype(np.float64)
    b = np.concatenate([array.ravel() for array in got]).astype(np.float64)
    remark = _remark(a, b, alive)
    difference, reference = np.abs(a - b), float(np.abs(a).max())
    within = bool((difference <= tolerance.atol + tolerance.rtol * np.abs(a)).all())
    size = float(np.linalg.norm(a))
    apart = float(np.linalg.norm(difference)) / size if size else math.nan
    if not remark and not within:
        remark = "outside the tolerance"
    if not remark and apart > tolerance.apart:
        remark = f"{apart:.3f} apart of {tolerance.apart:g}, all elements together"
    return ParityRow(
        *names,
        max_abs=float(difference.max()),
        max_rel=float(difference.max() / reference) if reference else float("nan"),
        cosine=float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
        if reference and b.any()
        else float("nan"),
        reference_abs_max=reference,
        atol=tolerance.atol,
        rtol=tolerance.rtol,
        ok=not remark,
        remark=remark,
        apart=apart,
    )


def _varies(wanted: list[np.ndarray]) -> bool:
    """Whether there are two different rows other than zeros, which stand for rows that are not valid."""
    rows = np.concatenate([array.reshape(len(array), -1) for array in wanted])
    return len(np.unique(rows[rows.any(axis=1)], axis=0)) > 1


def _remark(wanted: np.ndarray, got: np.ndarray, alive: bool) -> str:
    if not np.isfinite(wanted).all():
        return "PyTorch's answer is not finite: the weights are broken or a masked row divides by zero"
    if not np.isfinite(got).all():
        return "the engine's answer is not finite"
    if alive and np.abs(wanted).max() < ALIVE:
        return "PyTorch's answer is all but zero, so nothing was compared"
    return ""


def table(rows: Iterable[ParityRow]) -> str:
    """The rows as aligned text, one line each, for people."""
    head = ("model", "engine", "output", "max abs", "max rel", "cosine", "apart", "atol", "rtol", "")
    lines = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cells(row: ParityRow) -> tuple[str, ...]:
    figures = (
        f"{row.max_abs:.1e}",
        f"{row.max_rel:.1e}",
        f"{row.cosine:.7f}",
        f"{row.apart:.1e}",
        f"{row.atol:.0e}",
        f"{row.rtol:.0e}",
    )
    return (row.model, row.engine, row.output, *figures, "ok" if row.ok else f"FAILED: {row.remark}")
