"""One PyTorch module -> one dense ONNX graph with its contract's names, dtypes, dims and a free batch."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import onnx
import torch

from export.contract import Contract, Tensor
from export.example_inputs import draw
from export.onnx_files import save

OPSET = 20  # native Gelu; 23 and later emit an Attention operator that TensorRT cannot build in fp32
EXAMPLE_BATCH = 2  # with 1 the exporter may take the batch axis for a constant


def export_dense(
    module: torch.nn.Module,
    contract: Contract,
    path: Path,
    lengths: Mapping[str, Sequence[int]] | None = None,
) -> onnx.ModelProto:
    """Export `module` as the graph that `contract` describes, check it, save it to `path`, return it.

    The module's forward takes the contract's inputs in their order, batch first, and returns its outputs so.
    lengths: of every input that has free dims (-1), those of the example; any others then fit as well
    ValueError when the graph's names, dtypes or dims are not the contract's.
    """
    tensors = draw(sized(contract, lengths or {}), EXAMPLE_BATCH, seed=0)
    example = tuple(torch.from_numpy(tensors[tensor.name]) for tensor in contract.inputs)
    batch = torch.export.Dim("batch", min=1, max=contract.max_batch)
    with _silence(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=[tensor.name for tensor in contract.inputs],
            output_names=[tensor.name for tensor in contract.outputs],
            dynamic_shapes=_dynamic_shapes(module, batch, contract.inputs),
            verbose=False,
        )
    if program is None:
        raise RuntimeError(f"{contract.name}: expected a graph from the exporter, got none")
    graph = program.model_proto
    check_graph(graph, contract)
    save(graph, path)
    return graph


def sized(contract: Contract, lengths: Mapping[str, Sequence[int]]) -> Contract:
    """The contract with the dims of some inputs in place of free ones."""
    inputs = (replace(one, dims=tuple(lengths.get(one.name, one.dims))) for one in contract.inputs)
    return replace(contract, inputs=tuple(inputs))


def check_graph(graph: onnx.ModelProto, contract: Contract) -> None:
    """ValueError with one sentence per tensor of `graph` that is not what `contract` says."""
    faults = [
        *_side_faults("input", graph.graph.input, contract.inputs),
        *_side_faults("output", graph.graph.output, contract.outputs),
    ]
    if faults:
        raise ValueError(f"{contract.name}: {'; '.join(faults)}")


def _side_faults(side: str, found: Sequence[onnx.ValueInfoProto], wanted: Sequence[Tensor]) -> Iterator[str]:
    names = [value.name for value in found]
    expected = [tensor.name for tensor in wanted]
    if names != expected:
        yield f"expected the {side}s {', '.join(expected)}, the graph has {', '.join(names)}"
        return
    for value, tensor in zip(found, wanted, strict=True):
        kind = value.type.tensor_type
        axes = kind.shape.dim
        free = bool(axes) and not axes[0].HasField("dim_value")
        dims = tuple(axis.dim_value if axis.HasField("dim_value") else -1 for axis in axes[1:])
        if kind.elem_type != tensor.onnx or dims != tensor.dims or not free:
            dtype = onnx.TensorProto.DataType.Name(kind.elem_type)
            batch = "" if free else ", and a fixed batch axis"
            yield f"{side}: expected {tensor} after the batch, the graph has {dtype}{list(dims)}{batch}"


def _dynamic_shapes(
    module: torch.nn.Module, batch: torch.export.Dim, inputs: Sequence[Tensor]
) -> tuple[object, ...]:
    """One {0: batch} per tensor, with its free axes if it has some, between which the exporter finds what is
    equal; nested once for `forward(*tensors)`: the exporter follows the signature.
    """
    free = torch.export.Dim.DYNAMIC
    axes = tuple(
        {0: batch} | {axis: free for axis, dim in enumerate(tensor.dims, start=1) if dim == -1}
        for tensor in inputs
    )
    kinds = [parameter.kind for parameter in inspect.signature(module.forward).parameters.values()]
    return (axes,) if kinds == [inspect.Parameter.VAR_POSITIONAL] else axes


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep the exporter's progress lines, deprecation warnings and log records off the terminal."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
