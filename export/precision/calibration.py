"""Real inputs of every engine of a preset, a file for each: what int8 gets its ranges from, and is judged on.

    calibration/MODEL.npz     ranges/INPUT (items, ...): of what the weights were trained on
                              judged/INPUT (items, ...): of what they have never seen

They lie beside the fp32 engines, whose answers are the inputs of the engines behind them. The sha256 of the
ranges' part is in the recipe of an int8 plan: other items are another plan.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from export import manifest
from export.parity import Arrays, Run
from export.precision.chain import Chain
from export.precision.tasks import Task, spread

LOWERING = ("export/precision",)  # code that decides what a graph in int8 is, given one in fp32
RANGES, JUDGED = "ranges/", "judged/"
ITEMS = 32  # that an int8 engine is compared on with PyTorch; the search judges all
ROWS = 8  # of a batch


def file_of(engines: Path, model: str) -> Path:
    """Where the calibration of one engine lies."""
    return engines / "calibration" / f"{model}.npz"


def write(
    chain: Chain, runs: Mapping[str, Run], task: Task, engines: Path, models: Collection[str]
) -> dict[str, dict[str, Any]]:
    """Write the files of `models`; model -> how many items, and their hash.

    runs: of the fp32 engines of all of the chain
    """
    ranges, judged = chain.answers(runs, task.calibration), chain.answers(runs, judged_of(task))
    for contract in chain.contracts:
        if contract.name in models:
            names = [tensor.name for tensor in contract.inputs]
            parts = {RANGES + name: ranges[name] for name in names}
            _save(file_of(engines, contract.name), parts | {JUDGED + name: judged[name] for name in names})
    return {model: described(file_of(engines, model)) for model in models}


def judged_of(task: Task) -> Arrays:
    """Some of a task's judged items, spread over all of them."""
    items = len(next(iter(task.judged.values())))
    return {name: array[spread(range(items), ITEMS)] for name, array in task.judged.items()}


def described(file: Path) -> dict[str, Any]:
    """How many items the ranges come from, and the sha256 of these; for a recipe and a manifest."""
    ranges = read(file, RANGES)
    digest = hashlib.sha256()
    for name, array in sorted(ranges.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return {"items": len(next(iter(ranges.values()))), "sha256": digest.hexdigest()}


def recipe(graphs: manifest.Recipe, real: Path, keep: Sequence[str]) -> manifest.Recipe:
    """The recipe of an engine that a processor runs in int8, given that of its graphs in fp32."""
    told = {"calibration": described(real), "keep": list(keep)}
    return replace(
        graphs,
        precision="int8",
        build=json.dumps(told, sort_keys=True),
        builder_sha256=manifest.sources_sha256(LOWERING, apart=()),
    )


def is_whole(file: Path, said: Mapping[str, Any]) -> bool:
    """Whether the file is there and holds the items that were described so."""
    return file.is_file() and described(file) == said


def read(file: Path, part: str = RANGES) -> Arrays:
    """Input -> (items, ...) of one part of a file; FileNotFoundError without one."""
    if not file.is_file():
        raise FileNotFoundError(
            f"{file}: expected real inputs of the task to calibrate int8 on, found none; `python -m export "
            "PRESET --precision int8` writes them"
        )
    with np.load(file, allow_pickle=False) as arrays:
        return {name.removeprefix(part): arrays[name] for name in arrays.files if name.startswith(part)}


def in_batches(arrays: Mapping[str, np.ndarray], rows: int = ROWS) -> list[Arrays]:
    """The same items in batches of at most `rows`."""
    items = len(next(iter(arrays.values())))
    return [
        {name: array[start : start + rows] for name, array in arrays.items()}
        for start in range(0, items, rows)
    ]


def _save(file: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Whole or not at all: a search may be cut off."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".draft", delete=False) as stream:
        np.savez(stream, **arrays)
    Path(stream.name).replace(file)
