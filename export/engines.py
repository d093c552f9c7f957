"""All of it for one engine: build, export, wrap, compare with PyTorch; nothing is published here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from export import absent_rows, contract, cpu_engines, onnx_graphs, parity
from export.pipelines import PRESETS

SERVED, DENSE = "model.onnx", "dense.onnx"
RANDOM_SEED = 0  # of weights that nobody trained


def write_graphs(module: nn.Module, promised: contract.Contract, folder: Path) -> list[Path]:
    """`dense.onnx` for TensorRT, `model.onnx` for ONNX Runtime; the same graph if there is no row mask."""
    dense_path, served_path = folder / DENSE, folder / SERVED
    dense = onnx_graphs.export_dense(module, promised, dense_path)
    if absent_rows.mask_of(promised) is None:
        onnx_graphs.save(dense, served_path)
    else:
        inner = absent_rows.single_row(promised)
        if inner is not promised:
            dense = onnx_graphs.export_dense(module, inner, folder / "row.onnx")
        onnx_graphs.save(absent_rows.skip_absent(dense, promised), served_path)
        for leftover in folder.glob("row.onnx*"):
            leftover.unlink()
    return [file for name in (SERVED, DENSE) for file in sorted(folder.glob(f"{name}*"))]


def references(
    module: nn.Module, promised: contract.Contract, recorded: Mapping[str, np.ndarray] | None = None
) -> list[tuple[parity.Arrays, parity.Arrays]]:
    """Every case that engines are compared on, and the module's answer."""
    return parity.references(parity.pytorch(module, promised), parity.cases(promised, recorded))


def real_references(
    module: nn.Module, promised: contract.Contract, real: Path | None
) -> list[tuple[parity.Arrays, parity.Arrays]]:
    """The same on real items that no range was taken from; real: a file of `export.precision.calibration`."""
    if real is None:
        return []  # `plans.write_graph` says what is missing
    from export.precision import calibration

    items = calibration.in_batches(calibration.read(real, calibration.JUDGED), promised.max_batch)
    return parity.references(parity.pytorch(module, promised), items)


def constants(module: nn.Module) -> frozenset[str]:
    """What the module calls `constant_outputs`: depends on no input but the mask, see `parity.compare`."""
    return getattr(module, "constant_outputs", frozenset())


def compare_files(
    module: nn.Module,
    promised: contract.Contract,
    folder: Path,
    expected: Sequence[tuple[parity.Arrays, parity.Arrays]] | None = None,
) -> list[parity.ParityRow]:
    """Parity rows of both files against the module: by ONNX Runtime, and of the served one by the engine that
    its configuration names, in that precision.

    expected: its `references`; by default those without recordings
    """
    pairs = references(module, promised) if expected is None else expected
    ways = [(SERVED, cpu_engines.REFERENCE), (DENSE, cpu_engines.REFERENCE)]
    if promised.engine != "onnxruntime":
        ways.append((SERVED, cpu_engines.configured(promised)))
    rows = []
    for name, (engine, precision) in ways:
        run = cpu_engines.runtime(folder / name, engine, precision, torch.get_num_threads())
        label = name if (engine, precision) == cpu_engines.REFERENCE else f"{name} {engine} {precision}"
        rows += parity.compare(promised, label, run, pairs, precision, constants(module))
    return rows


def lower_served(
    module: nn.Module, promised: contract.Contract, folder: Path, keep: Sequence[str], real: Path
) -> list[parity.ParityRow]:
    """Put the served graph, proven in fp32, in int8, and compare it as the configured engine runs it.

    keep: parts that stay in fp32; real: inputs, a file of `export.precision.calibration`
    """
    from export.precision import calibration, inside, quantisation

    graph = onnx.load(folder / SERVED)
    rows = calibration.in_batches(inside.rows_of(calibration.read(real), promised, graph))
    low = quantisation.quantised(inside.network(graph, promised), rows, keep)
    onnx_graphs.save(inside.around(low, promised, graph), folder / SERVED)
    engine, precision = cpu_engines.configured(promised)
    run = cpu_engines.runtime(folder / SERVED, engine, precision, torch.get_num_threads())
    pairs = real_references(module, promised, real)
    return parity.compare(promised, f"{SERVED} int8 {engine}", run, pairs, "int8", constants(module))


def served_module(preset: str, model: str, weights: Path | None, fusion: str = "") -> nn.Module:
    """The module of one model in eval mode; fusion: empty for the preset's own, or where it has no choice."""
    torch.manual_seed(RANDOM_SEED)
    pipeline = PRESETS[preset]
    module = pipeline.served_module(preset, model, weights, fusion or pipeline.default_fusion(preset))
    return module.eval()


def recorded(file: Path | None) -> dict[str, np.ndarray] | None:
    """Arrays of a file by tensor name; None without a file."""
    if file is None:
        return None
    with np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
