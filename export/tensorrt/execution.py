"""A plan on the GPU that it was built for: torch tensors are its buffers, a profile is chosen per batch.

Only names that TensorRT 10, TensorRT 11 and TensorRT for RTX share are used. No plan has run through this
yet: no GPU was at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from export.contract import Contract, Tensor
from export.tensorrt import package

# Enqueues one execution on torch's current stream, over buffers that stay; returns output name -> tensor.
Launch = Callable[[], dict[str, Any]]

# TensorRT's name of a type -> torch's
TORCH = {
    "FLOAT": "float32",
    "HALF": "float16",
    "BF16": "bfloat16",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
}
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Slot:
    """One input or output of an engine; torch: the name of its buffer's dtype; -1 in dims is any length."""

    name: str
    torch: str
    dims: Shape
    is_input: bool


def slots_of_engine(trt: Any, engine: Any) -> list[Slot]:
    """Every input and output of a deserialised engine, in its order."""
    names = [engine.get_tensor_name(place) for place in range(engine.num_io_tensors)]
    return [
        _slot(
            name,
            engine.get_tensor_dtype(name),
            engine.get_tensor_shape(name),
            engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT,
        )
        for name in names
    ]


def slots_of_network(network: Any) -> list[Slot]:
    """The same of a parsed network, for which no GPU is needed."""
    inputs = [network.get_input(place) for place in range(network.num_inputs)]
    outputs = [network.get_output(place) for place in range(network.num_outputs)]
    return [
        *(_slot(one.name, one.dtype, one.shape, True) for one in inputs),
        *(_slot(one.name, one.dtype, one.shape, False) for one in outputs),
    ]


def _slot(name: str, dtype: Any, shape: Sequence[int], is_input: bool) -> Slot:
    if dtype.name not in TORCH:
        raise ValueError(f"{name}: expected a type of {', '.join(TORCH)}, got TensorRT's {dtype.name}")
    return Slot(name, TORCH[dtype.name], tuple(shape), is_input)


def slot_faults(contract: Contract, slots: Sequence[Slot]) -> list[str]:
    """What an engine's inputs and outputs have that the contract has not, or otherwise; empty if nothing."""
    faults = []
    for is_input, side, promised in ((True, "input", contract.inputs), (False, "output", contract.outputs)):
        found = {slot.name: slot for slot in slots if slot.is_input is is_input}
        wanted = {tensor.name: tensor for tensor in promised}
        if set(found) != set(wanted):
            faults.append(
                f"expected the {side}s {', '.join(sorted(wanted))}, the engine has {', '.join(sorted(found))}"
            )
            continue
        faults += [fault for name in wanted if (fault := _slot_fault(side, wanted[name], found[name]))]
    return faults


def _slot_fault(side: str, tensor: Tensor, slot: Slot) -> str:
    dtype = str(tensor.torch).removeprefix("torch.")
    fits = len(slot.dims) == len(tensor.dims) + 1 and all(
        -1 in (have, want) or have == want for have, want in zip(slot.dims[1:], tensor.dims, strict=True)
    )
    if slot.torch == dtype and fits:
        return ""
    return f"{side}: expected {tensor} after the batch, the engine has {slot.torch}{list(slot.dims)}"


def chosen_profile(ranges: Sequence[tuple[Shape, Shape, Shape]], shape: Shape) -> int:
    """The profile whose optimum lies nearest to a shape, of those whose bounds hold it.

    ranges: (smallest, optimum, largest) shape of one input per profile
    ValueError when none holds it.
    """
    fitting = [
        (sum(abs(a - b) for a, b in zip(best, shape, strict=True)), number)
        for number, (low, best, high) in enumerate(ranges)
        if all(a <= b <= c for a, b, c in zip(low, shape, high, strict=True))
    ]
    if not fitting:
        bounds = ", ".join(f"{list(low)} to {list(high)}" for low, _, high in ranges)
        raise ValueError(f"expected a shape in {bounds}, got {list(shape)}")
    return min(fitting)[1]


class Execution:
    """One deserialised plan.

    captures: whether a CUDA graph may be captured around a launch; TensorRT for RTX captures its own inside
    errors:   RuntimeError where the plan does not load, ValueError where it is not the contract's
    """

    def __init__(self, trt: Any, plan: bytes, contract: Contract) -> None:
        self.captures = not hasattr(trt, "CudaGraphStrategy")
        self.name = trt.__name__
        self._trt = trt
        self._runtime = package.create_runtime(trt)  # has to outlive its engine
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise RuntimeError(
                f"{contract.name}: {trt.__name__} {trt.__version__} does not load its own plan"
            )
        self._slots = slots_of_engine(trt, self._engine)
        faults = slot_faults(contract, self._slots)
        if faults:
            raise ValueError(f"{contract.name}: {'; '.join(faults)}")

    def bind(self, inputs: Mapping[str, Any]) -> Launch:
        """A launch over these device tensors; each has a context, and so working memory, of its own."""
        import torch

        context = self._context()
        if context is None:
            raise RuntimeError(f"{self.name}: no execution context; the GPU's memory may be full")
        whole = {slot.name: inputs[slot.name].contiguous() for slot in self._slots if slot.is_input}
        stream = torch.cuda.current_stream()
        if not context.set_optimization_profile_async(self._profile(whole), stream.cuda_stream):
            raise RuntimeError(f"{self.name}: the context refused its optimisation profile")
        for name, tensor in whole.items():
            if not context.set_input_shape(name, tuple(tensor.shape)):
                raise ValueError(f"{name}: the engine refuses the shape {list(tensor.shape)}")
        open_inputs = context.infer_shapes()
        if open_inputs:
            raise ValueError(f"expected every input to be set, {', '.join(open_inputs)} are not")
        outputs = {
            slot.name: torch.empty(
                tuple(context.get_tensor_shape(slot.name)), dtype=getattr(torch, slot.torch), device="cuda"
            )
            for slot in self._slots
            if not slot.is_input
        }
        for name, tensor in {**whole, **outputs}.items():
            context.set_tensor_address(name, tensor.data_ptr())
        stream.synchronize()

        def launch() -> dict[str, Any]:
            _ = whole  # the context knows addresses only: this keeps their memory
            if not context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
                raise RuntimeError(f"{self.name}: execute_async_v3 failed; its log says why")
            return outputs

        return launch

    def _context(self) -> Any:
        if self.captures:
            return self._engine.create_execution_context()
        config = self._engine.create_runtime_config()
        config.cuda_graph_strategy = self._trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        strategies = self._trt.DynamicShapesKernelSpecializationStrategy
        config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER  # not in the background
        return self._engine.create_execution_context(config)

    def _profile(self, inputs: Mapping[str, Any]) -> int:
        """Which of the plan's profiles serves these shapes: all inputs move together, so the sum decides."""
        known = self._engine.num_optimization_profiles
        ranges: list[Any] = [
            tuple(
                sum(
                    (tuple(self._engine.get_tensor_profile_shape(name, number)[bound]) for name in inputs), ()
                )
                for bound in range(3)
            )
            for number in range(known)
        ]
        return chosen_profile(ranges, sum((tuple(tensor.shape) for tensor in inputs.values()), ()))

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Arrays in, arrays out, as `export.parity` compares; what is narrower than fp32 comes as fp32."""
        import torch

        there = {name: torch.from_numpy(np.ascontiguousarray(one)).cuda() for name, one in inputs.items()}
        outputs = self.bind(there)()
        torch.cuda.synchronize()
        narrow = (torch.bfloat16, torch.float16)
        return {
            name: (one.float() if one.dtype in narrow else one).cpu().numpy() for name, one in outputs.items()
        }


def missing_here() -> str:
    """What this machine lacks to run a plan, whose buffers are torch's; empty where it lacks nothing."""
    try:
        import torch
    except ImportError:
        return "not run: torch is not installed"
    return "" if torch.cuda.is_available() else f"not run: torch {torch.__version__} sees no NVIDIA GPU"
