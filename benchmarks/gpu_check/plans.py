"""A TensorRT or TensorRT-RTX plan as a runner: see `export.tensorrt.execution`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchmarks.gpu_check.clock import Launch

if TYPE_CHECKING:
    from export.contract import Contract


class PlanRunner:
    """One deserialised plan; see `runners.Runner`. TensorRT-RTX captures its own graphs: none around them."""

    def __init__(self, trt: Any, plan: bytes, contract: Contract, precision: str) -> None:
        from export.tensorrt.execution import Execution  # here: a package that the machine may not have

        self._loaded = Execution(trt, plan, contract)
        self.name, self.precision, self.captures = trt.__name__, precision, self._loaded.captures

    def bind(self, inputs: Mapping[str, Any]) -> Launch:
        """See `runners.Runner`."""
        return self._loaded.bind(inputs)
