"""Decoded recordings on disk: a .npy per tensor, a row per recording, in a folder named after its sources.

No torch here: the worker processes import this module, and torch would cost each of them seconds.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

Row = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Plan:
    """What is decoded.

    name:   of the preset it is decoded for, in front of the folder's name
    shapes: tensor -> shape of one row and dtype
    jobs:   one per row; `decode`, a function of a module, turns one into its row in any process
    key:    digest of everything that the rows depend on, see `digest_of`
    """

    name: str
    shapes: Mapping[str, tuple[tuple[int, ...], type]]
    jobs: Sequence[Any]
    decode: Callable[[Any], Row]
    key: str


def digest_of(settings: object, decoder: ModuleType, root: Path, files: Iterable[Path | None]) -> str:
    """Digest of settings (their repr), the decoder's code, the root's manifest and the state of the files."""
    digest = hashlib.sha256(repr(settings).encode())
    digest.update(Path(str(decoder.__file__)).read_bytes())
    manifest = root / "manifest.csv"
    digest.update(manifest.read_bytes() if manifest.is_file() else b"")
    for path in files:
        if path is None:
            digest.update(b"absent\0")
            continue
        facts = path.stat()
        digest.update(f"{path.relative_to(root)}\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:16]


def open_cache(plan: Plan, cache: Path, workers: int) -> dict[str, NDArray[np.generic]]:
    """Memory-map the decoded rows, name -> (rows, ...), decoding them first where `cache` lacks them."""
    folder = cache / f"{plan.name}-{plan.key}"
    if not (folder / "complete.json").is_file():
        shutil.rmtree(folder, ignore_errors=True)  # what an interrupted decoding left
        folder.mkdir(parents=True)
        _decode_all(plan, folder, workers)
        (folder / "complete.json").write_text(json.dumps({"rows": len(plan.jobs)}) + "\n", encoding="utf-8")
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in plan.shapes}


def _decode_all(plan: Plan, folder: Path, workers: int) -> None:
    """Fill `folder` with one .npy per tensor."""
    arrays = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (len(plan.jobs), *shape))
        for name, (shape, dtype) in plan.shapes.items()
    }
    with tqdm(total=len(plan.jobs), desc=f"decode for {plan.name}", unit="recording") as bar:
        for index, row in enumerate(_decoded_rows(plan, workers)):
            for name, value in row.items():
                arrays[name][index] = value
            bar.update()
    for array in arrays.values():
        array.flush()


def _decoded_rows(plan: Plan, workers: int) -> Iterator[Row]:
    """Rows in the order of the jobs."""
    if workers <= 1:
        yield from map(plan.decode, plan.jobs)
        return
    # spawn: the caller may have started torch's threads, which a fork would break
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(plan.decode, plan.jobs, chunksize=8)
