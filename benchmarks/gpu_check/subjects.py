"""What is checked: the dense graph of every engine of a preset, beside the PyTorch module it came from."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu_check import installed

if TYPE_CHECKING:
    from torch import nn

    from export.contract import Contract

ROOT = Path(__file__).parents[2]
ENGINES = (
    "tensorrt_plan",
    "onnxruntime",
    "openvino",
)  # tokenizers, decoders and generators have no dense graph


@dataclass(frozen=True)
class Subject:
    """One engine to be.

    module:  in eval mode, on the CPU, fp32
    trained: whether its weights are; random ones show speed, and hide what a low precision costs
    """

    preset: str
    contract: Contract
    module: nn.Module
    trained: bool

    @property
    def name(self) -> str:
        """The model's."""
        return self.contract.name


def subjects(preset: str) -> Iterator[Subject]:
    """Every engine of a preset, in the order of its export; Skip where a package for it is missing."""
    for needed in ("torch", "transformers", "tritonclient.grpc"):
        installed.module(needed)
    from export import contract, engines
    from export.pipelines import model_names

    weights = ROOT / "weights" / f"{preset}.safetensors"
    chosen = weights if weights.is_file() else None
    for name in model_names(preset):
        promised = contract.load(ROOT / "model_repository", name, "gpu")
        if promised.engine in ENGINES:
            yield Subject(preset, promised, engines.served_module(preset, name, chosen), chosen is not None)


def dense_graph(subject: Subject, work: Path) -> Path:
    """Path of the subject's dense fp32 ONNX graph, exported at most once per folder, contract and weights."""
    for needed in ("onnx", "onnxscript"):
        installed.module(needed)
    from export import onnx_graphs

    folder = work / "graphs" / f"{subject.name}-{key(subject)}"
    if not folder.is_dir():
        draft = folder.with_name(f"{folder.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        onnx_graphs.export_dense(subject.module, subject.contract, draft / "dense.onnx")
        draft.rename(folder)  # whole or not at all: a run may be cut off
    return folder / "dense.onnx"


def key(subject: Subject) -> str:
    """Twelve hex digits of the contract and of every weight: another one is another graph."""
    digest = hashlib.sha256(subject.contract.digest.encode())
    for name, tensor in sorted(subject.module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def of_one_row(subject: Subject) -> Subject:
    """The subject as the graph of single rows, whose batch is every row of all requests."""
    from export import absent_rows

    return replace(subject, contract=absent_rows.single_row(subject.contract))


def flop_per_item(subject: Subject, device: str = "cpu") -> int:
    """Floating-point operations of one item: two per multiplication and addition of every product.

    device: where the module lies and the count is run
    """
    import torch

    from export.example_inputs import draw

    arrays = draw(subject.contract, 1, seed=1)
    tensors = [torch.from_numpy(arrays[one.name]).to(device) for one in subject.contract.inputs]
    return flop(subject.module, tensors)


def flop(module: nn.Module, tensors: list[Any]) -> int:
    """Floating-point operations of one call, as torch counts them.

    Attention is taken apart first: torch counts neither the CPU's fused kernel nor the fast path of its
    own Transformer layers.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            module(*tensors)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return int(counter.get_total_flops())
