"""What runs a graph on the GPU besides TensorRT: PyTorch as it is, PyTorch compiled, ONNX Runtime on CUDA.

A runner binds device tensors once and gives back a launch that can be repeated: see `clock.Launch`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from benchmarks.gpu_check import installed
from benchmarks.gpu_check.clock import Launch
from benchmarks.gpu_check.findings import Skip

if TYPE_CHECKING:
    from export.contract import Contract
    from export.parity import Run

Tensors = Mapping[str, Any]  # name -> torch tensor on the GPU


class Runner(Protocol):
    """name, precision: of the table's row; captures: whether a CUDA graph of it may be tried."""

    name: str
    precision: str
    captures: bool

    def bind(self, inputs: Tensors) -> Launch:
        """A launch over these inputs, batch first; its outputs lie in buffers of its own."""
        ...


class TorchRunner:
    """The PyTorch module on the GPU, fp32 without TF32, or under autocast; `compiled` by torch.compile."""

    captures = True

    def __init__(self, module: Any, contract: Contract, precision: str, compiled: bool = False) -> None:
        torch = installed.module("torch")
        if precision == "int8":
            raise Skip("torch has no int8 of these modules")
        self.name = "torch.compile" if compiled else "torch"
        self.precision = precision
        self._contract = contract
        self._module = torch.compile(module, dynamic=False) if compiled else module
        self._dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)

    def bind(self, inputs: Tensors) -> Launch:
        """See `Runner`."""
        import torch

        tensors = [inputs[one.name] for one in self._contract.inputs]
        names = [one.name for one in self._contract.outputs]
        device = tensors[0].device.type

        def launch() -> dict[str, Any]:
            with torch.no_grad(), torch.autocast(device, self._dtype, enabled=self._dtype is not None):
                answers = self._module(*tensors)
            answers = (answers,) if isinstance(answers, torch.Tensor) else answers
            return dict(zip(names, answers, strict=True))

        return launch


class OnnxRuntimeRunner:
    """ONNX Runtime's CUDA provider, reading and writing device memory; it waits for its own stream."""

    name, captures = "onnxruntime", False

    def __init__(self, path: Path, contract: Contract, precision: str) -> None:
        ort = installed.module("onnxruntime")
        if "CUDAExecutionProvider" not in ort.get_available_providers():
            raise Skip(f"onnxruntime {ort.__version__} has no CUDA provider; install onnxruntime-gpu")
        self.precision = precision
        self._contract = contract
        options = ort.SessionOptions()
        options.log_severity_level = 3
        provider = ("CUDAExecutionProvider", {"use_tf32": "0"})
        self._session = ort.InferenceSession(str(path), options, providers=[provider])
        if self._session.get_providers()[0] != "CUDAExecutionProvider":
            raise Skip("onnxruntime fell back to the CPU: its CUDA libraries do not load")

    def bind(self, inputs: Tensors) -> Launch:
        """See `Runner`."""
        binding = self._session.io_binding()
        whole = {one.name: inputs[one.name].contiguous() for one in self._contract.inputs}
        batch = next(iter(whole.values())).shape[0]
        for one in self._contract.inputs:
            tensor = whole[one.name]
            binding.bind_input(one.name, "cuda", 0, one.numpy, tuple(tensor.shape), tensor.data_ptr())
        outputs = empty_outputs(self._contract, batch)
        for one in self._contract.outputs:
            tensor = outputs[one.name]
            binding.bind_output(one.name, "cuda", 0, one.numpy, tuple(tensor.shape), tensor.data_ptr())

        def launch() -> dict[str, Any]:
            _ = whole  # the binding knows addresses only: this keeps their memory
            self._session.run_with_iobinding(binding)
            return outputs

        return launch


def empty_outputs(contract: Contract, batch: int, device: str = "cuda") -> dict[str, Any]:
    """Buffers of every output for a batch; Skip where the contract leaves a length open."""
    import torch

    buffers = {}
    for tensor in contract.outputs:
        if -1 in tensor.dims:
            raise Skip(f"the length of {tensor} is only known when it has run")
        buffers[tensor.name] = torch.empty((batch, *tensor.dims), dtype=tensor.torch, device=device)
    return buffers


def on_device(arrays: Mapping[str, np.ndarray], device: str = "cuda") -> dict[str, Any]:
    """The arrays as tensors on the GPU, or on another device."""
    import torch

    return {name: torch.from_numpy(np.ascontiguousarray(array)).to(device) for name, array in arrays.items()}


def on_host(tensors: Tensors) -> dict[str, np.ndarray]:
    """Tensors as arrays; what is narrower than fp32 is widened, since numpy has no bf16."""
    import torch

    wide = {
        name: tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor
        for name, tensor in tensors.items()
    }
    return {name: tensor.detach().cpu().numpy() for name, tensor in wide.items()}


def as_run(runner: Runner, device: str = "cuda") -> Run:
    """The runner as the function that `export.parity` compares: arrays in, arrays out."""

    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        import torch

        outputs = runner.bind(on_device(inputs, device))()
        if device == "cuda":
            torch.cuda.synchronize()
        return on_host(outputs)

    return run
