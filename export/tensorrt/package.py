"""TensorRT 10, 11 and for RTX behind one set of names: all that differs between them is here.

gone in 11:  BuilderFlag FP16, BF16, INT8 (never used: precision is in the graph); STRONGLY_TYPED is the only
             kind of network and may not be named; `device_memory_size` is `device_memory_size_v2`
RTX:         builds without a GPU for the compute capabilities it is told; its timing cache does nothing
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Package:
    """Where a target's builder comes from.

    needs_gpu: it times kernels on the GPU that the plan is for
    """

    module: str
    advice: str
    needs_gpu: bool


PACKAGES = {
    "gpu": Package(
        "tensorrt", "run it in NVIDIA's Triton container, `pip install tensorrt`, or use --target rtx", True
    ),
    "rtx": Package("tensorrt_rtx", "`pip install tensorrt-rtx`", False),
}
# Of RTX cards since 2020: Ampere, Ada, Blackwell. For a plan that is built where no GPU can be asked.
CAPABILITIES = ("SM86", "SM89", "SM120")


def import_tensorrt(target: str) -> Any:
    """The module of `gpu` (tensorrt) or `rtx` (tensorrt_rtx).

    errors: ValueError for another target, ModuleNotFoundError with what to install
    """
    if target not in PACKAGES:
        raise ValueError(f"target: expected one of {', '.join(PACKAGES)}, got {target}")
    package = PACKAGES[target]
    try:
        return importlib.import_module(package.module)
    except ImportError as error:
        # Its bindings alone do in an image that has the libraries: NVIDIA's container of Triton.
        with contextlib.suppress(ImportError):
            return importlib.import_module(f"{package.module}_bindings")
        raise ModuleNotFoundError(
            f"{target}: expected the Python package {package.module}, got: {error}; {package.advice}"
        ) from error


@functools.cache
def logger(trt: ModuleType) -> Any:
    """The one logger of a process, which TensorRT keeps for good: it gathers instead of printing.

    Its `messages` are (severity, text) in order, warnings and worse.
    """

    class Gathering(trt.ILogger):  # type: ignore[name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.messages: list[tuple[int, str]] = []

        def log(self, severity: Any, text: str) -> None:
            if int(severity) <= int(trt.ILogger.Severity.WARNING):
                self.messages.append((int(severity), text))

    return Gathering()


@contextmanager
def gathered(trt: ModuleType) -> Iterator[list[str]]:
    """A list that holds, when the block ends, the errors that TensorRT logged in it."""
    log = logger(trt)
    begun = len(log.messages)
    errors: list[str] = []
    try:
        yield errors
    finally:
        worst = int(trt.ILogger.Severity.ERROR)
        errors += [text for severity, text in log.messages[begun:] if severity <= worst]
        del log.messages[begun:]


def create_network(trt: ModuleType, builder: Any) -> Any:
    """A network whose types are those of the graph: the only kind that TensorRT 11 has."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return builder.create_network(0 if flag is None else 1 << int(flag))


def set_capabilities(trt: ModuleType, config: Any, names: Iterable[str]) -> None:
    """Build for these compute capabilities (`SM89`); TensorRT has no choice: it builds for the GPU it is on.

    errors: ValueError for one that the package does not know, RuntimeError for one that it does not take
    """
    if (
        trt.__name__ != PACKAGES["rtx"].module
    ):  # not by what it has: a later TensorRT may name capabilities too
        return
    known = trt.ComputeCapability.__members__
    wanted = tuple(names)
    for name in wanted:
        if name not in known:
            raise ValueError(f"capability: expected one of {', '.join(known)}, got {name}")
    config.num_compute_capabilities = len(wanted)
    for index, name in enumerate(wanted):
        if not config.set_compute_capability(known[name], index):
            raise RuntimeError(
                f"{name}: {trt.__name__} {trt.__version__} does not take it; build for another"
            )


def create_timing_cache(config: Any, content: bytes) -> Any:
    """A timing cache of these bytes; for RTX one that measures nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # RTX says that it does nothing
        return config.create_timing_cache(content)


def timing_cache_bytes(config: Any) -> bytes:
    """What the configuration's timing cache knows after a build; empty where there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        cache = config.get_timing_cache()
        return bytes(cache.serialize()) if cache is not None else b""


def attach_timing_cache(config: Any, cache: Any) -> bool:
    """Whether the configuration takes the cache: one of another GPU or version it refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return cache is not None and bool(config.set_timing_cache(cache, False))


def create_runtime(trt: ModuleType) -> Any:
    """A runtime for plans of our own making, which may run the code that some of them bring along."""
    runtime = trt.Runtime(logger(trt))
    if hasattr(runtime, "engine_host_code_allowed"):
        runtime.engine_host_code_allowed = True  # without it a version-compatible plan does not load
    return runtime


def device_memory_bytes(engine: Any) -> int:
    """Memory that one execution context needs beside weights, inputs and outputs."""
    newer = getattr(engine, "device_memory_size_v2", None)
    return int(engine.device_memory_size if newer is None else newer)
