"""The plan of a version folder: its dense graph in a precision, proven, and what TensorRT builds of that.

Beside `dense.onnx` come `dense_<precision>.onnx`, unless that is fp32, the plan, and `<plan>.json`, which
says what is in it. No torch: a container that has the graphs builds its plans itself.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from export import contract, manifest, onnx_files, parity
from export.contract import Contract
from export.parity import Arrays, ParityRow
from export.targets import TARGETS, Order
from export.tensorrt import OPTIONS, build, execution, package, profiles, summary
from export.tensorrt.build import TYPES, built_for, require_gpu
from export.tensorrt.device import find
from export.tensorrt.profiles import as_dicts

SERVED, DENSE = "model.onnx", "dense.onnx"
PLATFORM = "tensorrt_plan"  # of a model that a GPU's server runs as a plan
BUILDER = ("export/tensorrt", "export/precision")  # code that decides what a plan is, given a graph


def has_plan(repository: Path, model: str, target: str) -> bool:
    """Whether an export for this target ends in a plan of this model: tokenizers and loops have none."""
    return bool(TARGETS[target].plan) and contract.load(repository, model, "gpu").engine == PLATFORM


def graph_file(precision: str) -> str:
    """The file that a plan of this precision is built from."""
    return DENSE if precision == "fp32" else f"dense_{precision}.onnx"


def cache_of(repository: Path) -> Path:
    """Where timing caches lie: beside the repository, with all else that can be made again."""
    return repository.resolve().parent / "build" / "tensorrt"


def with_plan(made: manifest.Recipe, promised: Contract, order: Order) -> manifest.Recipe:
    """The recipe of graphs, and of the plan that this machine would build of them.

    promised: the GPU's configuration
    errors: ModuleNotFoundError and RuntimeError where the package or the GPU is missing, FileNotFoundError
            where an int8 plan has no calibration
    """
    trt = package.import_tensorrt(order.target)
    device = find()
    require_gpu(order.target, device)
    told: dict[str, Any] = {"options": str(OPTIONS[order.build]), "profiles": as_dicts(profiles(promised))}
    if order.keep:
        told["keep"] = list(order.keep)
    if order.precision == "int8":
        from export.precision import calibration

        told["calibration"] = calibration.described(_calibration(promised.name, order))
    return replace(
        made,
        target=order.target,
        precision=order.precision,
        engine=f"{trt.__name__} {trt.__version__}",
        device=built_for(device),
        build=json.dumps(told, sort_keys=True),
        builder_sha256=manifest.sources_sha256(BUILDER, apart=("export/tensorrt/execution.py",)),
    )


def write_graph(
    folder: Path,
    promised: Contract,
    order: Order,
    expected: Iterable[tuple[Arrays, Arrays]],
    constant: Iterable[str] = (),
) -> list[ParityRow]:
    """Write the dense graph of `folder` in a precision beside it, and compare it; nothing to do for fp32.

    expected: cases and PyTorch's answers, of int8 on real items; constant: see `parity.compare`
    The comparison runs in fp32 and rounds as the lower type does: ONNX Runtime multiplies no bf16 on a CPU.
    errors: ValueError for a precision that no graph is written in here, FileNotFoundError without calibration
    """
    precision = order.precision
    if precision == "fp32":
        return []
    if precision not in TYPES:
        raise ValueError(
            f"{promised.name}: expected a precision of {', '.join(TYPES)} for a plan, got {precision}"
        )
    from export.precision import conversion

    path = folder / graph_file(precision)
    low = _lowered(folder, promised, order)
    onnx_files.save(low, path)
    with tempfile.TemporaryDirectory() as passing:
        rounded = Path(passing) / path.name
        onnx_files.save(conversion.emulated(low), rounded)
        run = parity.onnx_runtime(rounded, os.cpu_count() or 1, optimised=False)
        return parity.compare(promised, path.name, run, expected, precision, frozenset(constant))


def _lowered(folder: Path, promised: Contract, order: Order) -> onnx.ModelProto:
    """The folder's dense graph in the order's precision, the parts to keep in fp32."""
    from export.precision import calibration, conversion, inside, quantisation

    dense = onnx.load(folder / DENSE)
    keep = order.keep and inside.renamed(
        order.keep, inside.network(onnx.load(folder / SERVED), promised), dense
    )
    if order.precision != "int8":
        return conversion.lowered(dense, order.precision, keep)
    real = inside.whole_requests(calibration.read(_calibration(promised.name, order)), promised)
    return quantisation.quantised(dense, calibration.in_batches(real), keep, symmetric=True)


def _calibration(model: str, order: Order) -> Path:
    if order.calibration is None:
        raise FileNotFoundError(
            f"{model}: expected a file of real inputs to calibrate int8 on, got none; `python -m export "
            "PRESET --precision int8` or auto makes one"
        )
    return order.calibration


def write_plan(folder: Path, promised: Contract, order: Order, cache_dir: Path | None) -> Path:
    """Build the plan of the folder's graph and write it with its description; returns its path.

    promised: the GPU's configuration
    errors: those of `export.tensorrt.build`
    """
    built = build(
        folder / graph_file(order.precision),
        promised,
        precision=order.precision,
        target=order.target,
        cache_dir=cache_dir,
        options=OPTIONS[order.build],
    )
    path = folder / TARGETS[order.target].plan
    path.write_bytes(built.plan)
    description_of(path).write_text(json.dumps(built.summary, indent=1) + "\n")
    return path


def compare_plan(
    folder: Path,
    promised: Contract,
    order: Order,
    expected: Iterable[tuple[Arrays, Arrays]],
    constant: Iterable[str] = (),
) -> list[ParityRow]:
    """Run the folder's plan on this machine's GPU and compare it; empty where it cannot run here.

    expected: cases and PyTorch's answers; constant: see `parity.compare`
    The description says whether it was: `compared` is true or the reason.
    errors: RuntimeError for a plan that does not run on the GPU it was built on
    """
    path = folder / TARGETS[order.target].plan
    described = json.loads(description_of(path).read_text())
    reason = execution.missing_here()
    description_of(path).write_text(json.dumps(described | {"compared": reason or True}, indent=1) + "\n")
    if reason:
        return []
    loaded = execution.Execution(package.import_tensorrt(order.target), path.read_bytes(), promised)
    return parity.compare(promised, path.name, loaded.run, expected, order.precision, frozenset(constant))


def description_of(plan: Path) -> Path:
    """The file that says what is in a plan."""
    return plan.with_name(plan.name + ".json")


def line_about(plan: Path) -> str:
    """The description as one line."""
    return f"{plan.name}: {summary.text(json.loads(description_of(plan).read_text()))}"
