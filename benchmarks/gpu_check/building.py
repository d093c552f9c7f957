"""From a dense fp32 graph to one in another precision, and to a TensorRT or TensorRT-RTX engine of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.gpu_check import installed
from benchmarks.gpu_check.findings import Skip
from benchmarks.gpu_check.plans import PlanRunner
from benchmarks.gpu_check.subjects import Subject, dense_graph, of_one_row

TARGETS = {"gpu": "tensorrt", "rtx": "tensorrt_rtx"}  # the exporter's target -> the package that builds it


def graph_of(subject: Subject, precision: str, work: Path) -> Path:
    """Path of the subject's graph in a precision, made at most once; Skip where it cannot be made here."""
    dense = dense_graph(subject, work)
    if precision == "fp32":
        return dense
    path = dense.with_name(f"{precision}.onnx")
    if not path.is_file():
        _save(_converted(subject, dense, precision), path)
    return path


def _converted(subject: Subject, dense: Path, precision: str) -> Any:
    onnx = installed.module("onnx")
    if precision == "int8":
        from benchmarks.gpu_check import calibration
        from export.precision import quantisation

        real = calibration.batches(subject)
        return quantisation.quantised(onnx.load(dense), real, symmetric=True)
    from export.precision import conversion

    return conversion.lowered(onnx.load(dense), precision)


def _save(graph: Any, path: Path) -> None:
    from export import onnx_graphs

    onnx_graphs.save(graph, path)


def engine(subject: Subject, target: str, precision: str, work: Path) -> tuple[PlanRunner, float]:
    """An engine on the GPU and the seconds it took to build; Skip without the package."""
    installed.module(TARGETS[target])
    graph = graph_of(subject, precision, work)
    started = time.perf_counter()
    return _built(graph, subject, target, precision, work), time.perf_counter() - started


def _built(graph: Path, subject: Subject, target: str, precision: str, work: Path) -> PlanRunner:
    from export import tensorrt

    trt = tensorrt.import_tensorrt(target)
    device = tensorrt.device.find()
    known = getattr(trt, "ComputeCapability", None)
    if target == "rtx" and device and known and device.capability not in known.__members__:
        raise Skip(f"{trt.__name__} {trt.__version__} does not build for {device.capability}")
    made = tensorrt.build(
        graph, subject.promised, precision=precision, target=target, cache_dir=work / "timing"
    )
    return PlanRunner(trt, made.plan, subject.contract, precision)


def wrapped_engine(subject: Subject, target: str, work: Path) -> PlanRunner:
    """An engine of the graph that computes present rows only; raises what the parser does without NonZero."""
    from export import absent_rows

    onnx = installed.module("onnx")
    row = dense_graph(of_one_row(subject), work)
    path = row.with_name("wrapped.onnx")
    if not path.is_file():
        _save(absent_rows.skip_absent(onnx.load(row), subject.contract), path)
    return _built(path, subject, target, "fp32", work)
