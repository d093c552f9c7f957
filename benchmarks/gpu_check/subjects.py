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
ENGINES = ("tensorrt_plan", "onnxruntime", "openvino")  # of configurations that name one graph
GENERATOR = "generator"  # of those that name several


@dataclass(frozen=True)
class Subject:
    """One engine to be.

    contract: of the tensors that are drawn and compared, every length fixed
    module:   in eval mode, on the CPU, fp32
    trained:  whether its weights are; random ones show speed, and hide what a low precision costs
    promised: what the graph is exported and built for; other than `contract` where lengths are free
    """

    preset: str
    contract: Contract
    module: nn.Module
    trained: bool
    promised: Contract

    @property
    def name(self) -> str:
        """The model's; of an answers model with the graph's after it."""
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
            module = engines.served_module(preset, name, chosen).requires_grad_(False)
            yield Subject(preset, promised, module, chosen is not None, promised)
        elif promised.engine == GENERATOR:
            yield from _generation(preset, promised, chosen)


def _generation(preset: str, promised: Contract, weights: Path | None) -> Iterator[Subject]:
    """The graphs of an answers model, at the lengths that export compares first."""
    import torch

    from export import artefacts, engines, generator_graphs, onnx_graphs
    from export.pipelines import PRESETS

    pipeline = PRESETS[preset]
    if not isinstance(pipeline, artefacts.Generating):
        return
    torch.manual_seed(engines.RANDOM_SEED)
    modules = pipeline.generation(preset, weights)
    for file, graph in generator_graphs.graph_contracts(promised, pipeline.sizes(preset)).items():
        dims = generator_graphs.input_lengths(graph, *artefacts.LENGTHS[0])
        name = f"{promised.name}_{Path(file).stem}"
        sized = replace(onnx_graphs.sized(graph, dims), name=name, max_batch=max(artefacts.BATCHES))
        yield Subject(
            preset,
            sized,
            modules[file].eval().requires_grad_(False),
            weights is not None,
            replace(graph, name=name),
        )


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
        lengths = {tensor.name: tensor.dims for tensor in subject.contract.inputs}
        onnx_graphs.export_dense(subject.module, subject.promised, draft / "dense.onnx", lengths)
        draft.rename(folder)  # whole or not at all: a run may be cut off
    return folder / "dense.onnx"


def key(subject: Subject) -> str:
    """Twelve hex digits of the contract and of every weight: another one is another graph."""
    digest = hashlib.sha256(subject.promised.digest.encode())
    for name, tensor in sorted(subject.module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def of_one_row(subject: Subject) -> Subject:
    """The subject as the graph of single rows, whose batch is every row of all requests."""
    from export import absent_rows

    single = absent_rows.single_row(subject.contract)
    return replace(subject, contract=single, promised=single)


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
