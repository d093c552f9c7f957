"""What lies in a version folder, by the backend that reads it: a new kind is one function and one entry.

engine     two graphs of one module: dense for TensorRT, and one that computes valid rows only
tokenizer  a file of the tokenizers library, which cuts and pads to the length of its model's tokens
answers    four graphs of a generation, their tokenizer and settings

Each writes its files into the job's folder and returns their parity rows; ValueError when a file is not what
the configuration promises.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from export import contract, generator_graphs, plans
from export.contract import Contract
from export.generator_graphs import SETTINGS, TOKENIZER, Sizes
from export.jobs import Job
from export.parity import ParityRow
from export.pipelines import PRESETS

if TYPE_CHECKING:
    from torch import nn

PADDING = "[PAD]"
# (tokens, what they look at) of the compared batches; the first is what the graph is exported with
LENGTHS = ((5, 7), (1, 3), (7, 12))
BATCHES = (2, 1, 8)


@runtime_checkable
class Worded(Protocol):
    """An entry of `export.pipelines.PIPELINES` whose models read words."""

    def tokenizer(self, preset: str, weights: Path | None) -> str:
        """The text of the `tokenizer.json` that goes with the weights."""
        ...


@runtime_checkable
class Generating(Worded, Protocol):
    """One that has an answers model, which writes some."""

    def generation(self, preset: str, weights: Path | None) -> Mapping[str, nn.Module]:
        """File -> the module of its graph."""
        ...

    def sizes(self, preset: str) -> Sizes:
        """What no configuration says of these graphs."""
        ...

    def settings(self, preset: str, weights: Path | None) -> Mapping[str, Any]:
        """What `generation.json` says."""
        ...


def export_model(job: Job) -> list[ParityRow]:
    """Fill the job's folder with what its model's backend reads, and compare it with PyTorch.

    The rows say whether the files may be published. ValueError when one does not keep its contract.
    """
    promised = contract.load(job.repository, job.model)
    if promised.engine not in KINDS:
        raise ValueError(
            f"{job.model}: expected a model of the backend {', '.join(KINDS)}, got {promised.engine}; add "
            "its kind to export/artefacts.py"
        )
    job.folder.mkdir(parents=True, exist_ok=True)
    return KINDS[promised.engine](job, promised)


def engine(job: Job, promised: Contract) -> list[ParityRow]:
    """`dense.onnx` and `model.onnx`, and the plan of a target that has plans, once the graphs are proven."""
    from export import engines  # here: torch is a second that a tokenizer need not pay

    module = engines.served_module(job.preset, job.model, job.weights, job.fusion)
    engines.write_graphs(module, promised, job.folder)
    expected = engines.references(module, promised, engines.recorded(job.recorded))
    rows = engines.compare_files(module, promised, job.folder, expected)
    if plans.has_plan(job.repository, job.model, job.target):
        gpu = contract.load(job.repository, job.model, "gpu")
        constants = engines.constants(module)
        if job.precision == "int8":  # beyond the ranges of real inputs it says nothing
            expected = engines.real_references(module, promised, job.calibration)
        rows += plans.write_graph(job.folder, gpu, job.order, expected, constants)
        if all(row.ok for row in rows):
            plans.write_plan(job.folder, gpu, job.order, plans.cache_of(job.repository))
            rows += plans.compare_plan(job.folder, gpu, job.order, expected, constants)
    elif job.calibration and all(row.ok for row in rows):
        rows = engines.lower_served(module, promised, job.folder, job.keep, job.calibration) + [
            row if row.engine == engines.DENSE else replace(row, engine=f"{row.engine} before int8")
            for row in rows
        ]
    return rows


def tokenizer(job: Job, promised: Contract) -> list[ParityRow]:
    """`tokenizer.json`."""
    pipeline = PRESETS[job.preset]
    if not isinstance(pipeline, Worded):
        raise ValueError(f"{job.preset}: expected a pipeline that reads words, {job.model} is of another")
    write_tokenizer(
        job.folder, pipeline.tokenizer(job.preset, job.weights), promised.output("input_ids").dims[0]
    )
    return []


def answers(job: Job, promised: Contract) -> list[ParityRow]:
    """The graphs of `generator_graphs`, `tokenizer.json` and `generation.json`."""
    pipeline = PRESETS[job.preset]
    if not isinstance(pipeline, Generating):
        raise ValueError(f"{job.preset}: expected a pipeline that generates, {job.model} is of another")
    import torch

    from export.engines import RANDOM_SEED

    torch.manual_seed(RANDOM_SEED)
    text = pipeline.tokenizer(job.preset, job.weights)
    write_tokenizer(job.folder, text, promised.input("input_ids").dims[0])
    settings = pipeline.settings(job.preset, job.weights)
    (job.folder / SETTINGS).write_text(json.dumps(settings, indent=1) + "\n")
    modules = pipeline.generation(job.preset, job.weights)
    graphs = generator_graphs.graph_contracts(promised, pipeline.sizes(job.preset))
    return [
        row
        for file, graph in graphs.items()
        for row in generation_graph(modules[file], graph, job.folder / file)
    ]


def generation_graph(module: nn.Module, graph: Contract, path: Path) -> list[ParityRow]:
    """Write one graph of a generation and compare it at several batches and lengths."""
    from export import onnx_graphs, parity
    from export.example_inputs import draw

    sizes = [generator_graphs.input_lengths(graph, *lengths) for lengths in LENGTHS]
    onnx_graphs.export_dense(module.eval(), graph, path, sizes[0])
    drawn = [
        draw(onnx_graphs.sized(graph, dims), batch, seed)
        for seed, (batch, dims) in enumerate(zip(BATCHES, sizes, strict=True), start=1)
    ]
    expected = parity.references(parity.pytorch(module, graph), drawn)
    return parity.compare(graph, path.name, parity.onnx_runtime(path), expected)


def write_tokenizer(folder: Path, text: str, length: int) -> Path:
    """Write the tokenizer of `text` so that it cuts and pads to `length` tokens by itself.

    errors: ValueError for a text that is none, or for one that knows no [PAD]
    """
    from tokenizers import Tokenizer

    try:
        made = Tokenizer.from_str(text)
    except Exception as error:  # the library raises bare exceptions
        raise ValueError(f"{TOKENIZER}: expected a tokenizer, got: {error}") from error
    pad = made.token_to_id(PADDING)
    if pad is None:
        raise ValueError(f"{TOKENIZER}: expected one that knows {PADDING}, got one without; add it")
    made.enable_truncation(length)
    made.enable_padding(length=length, pad_id=pad, pad_token=PADDING)
    path = folder / TOKENIZER
    path.write_text(made.to_str(pretty=True) + "\n")
    return path


# backend of a model's configuration -> what is written for it
KINDS: dict[str, Callable[[Job, Contract], list[ParityRow]]] = {
    "onnxruntime": engine,
    "openvino": engine,
    "tokenizer": tokenizer,
    "generator": answers,
}
