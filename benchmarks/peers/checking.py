"""Whether a peer does the job: its answers against PyTorch's, and the engines that it is to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.job import Job
from benchmarks.peers.settings import EngineFile, Settings
from benchmarks.peers.wire import PRESET, files_of, unpacked
from export.tolerances import TOLERANCES, tolerance_of
from multimodal.weld_classes import MODALITIES
from serving.required import configuration, default_file, served_versions

PARTS = (*MODALITIES, "fusion")


def served_engines(repository: Path) -> dict[str, EngineFile]:
    """The engine of every part as our server runs it, by its configuration and newest version.

    raises: FileNotFoundError where one was never exported
    """
    found = {}
    for part in PARTS:
        model = f"{PRESET.name}_{part}" + ("" if part == "fusion" else "_encoder")
        config = configuration(repository, model)
        versions = served_versions(repository / model, config)
        path = repository / model / (versions[-1] if versions else "1") / default_file(config)
        if not path.is_file():
            raise FileNotFoundError(
                f"{model}: expected {path.name}, found none; run `python -m export {PRESET.name}`"
            )
        hint = config.parameters["HINT_BF16"].string_value if "HINT_BF16" in config.parameters else "NO"
        found[part] = EngineFile(str(path.resolve()), config.backend, "bf16" if hint == "YES" else "fp32")
    return found


def reference(payloads: Sequence[Mapping[str, Any]], outputs: Sequence[str]) -> NDArray[np.float32]:
    """What PyTorch answers to each request alone, (requests, values)."""
    job = Job(Settings(port=0))
    answers = [unpacked(job.answer([files_of(each)])[0]) for each in payloads]
    return np.stack([np.concatenate([answer[name].ravel() for name in outputs]) for answer in answers])


def precision_of(engines: Mapping[str, EngineFile]) -> str:
    """The lowest precision among engines; fp32 for PyTorch, which has none."""
    order = list(TOLERANCES)
    return max((file.precision for file in engines.values()), key=order.index, default="fp32")


def differences(
    found: NDArray[np.float32],
    expected: NDArray[np.float32],
    outputs: Mapping[str, int],
    precision: str,
) -> dict[str, float]:
    """Output -> how far it lies from PyTorch's at most.

    outputs: name -> how many values; raises: ValueError when one lies further than `precision` may cost
    """
    largest, at = {}, 0
    for name, width in outputs.items():
        ours, theirs = found[:, at : at + width], expected[:, at : at + width]
        at += width
        allowed = tolerance_of(name, precision)
        away = np.abs(ours - theirs)
        largest[name] = float(away.max())
        if not (away <= allowed.atol + allowed.rtol * np.abs(theirs)).all():
            raise ValueError(
                f"{name}: expected PyTorch's answer to within {allowed.atol:g}, got {largest[name]:.1e} away "
                "from it; the peer does another job"
            )
    return largest
