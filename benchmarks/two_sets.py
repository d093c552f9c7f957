"""Two sets of engines whose answers tell them, and every mixture of the two, apart.

The first is what the checkout's version 1 holds. The second is made from the same weights with noise on three
of the five networks: good enough to answer, different enough to be recognised.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.open_loop import ask
from benchmarks.record import ROOT
from export.manifest import sha256
from serving.releases.live import CANARY, Live
from serving.releases.switch import refresh
from serving.required import models_of

PIPELINE, PRESET = "weld_inspection", "weld_small"
OUTPUTS = ("probabilities", "anomaly_score", "embedding")
OLD, NEW = "old", "new"
NOISY = {"encoders.video": "video_encoder", "encoders.audio": "audio_encoder", "fusion": "fusion"}
NOISE = 0.2  # relative; every two combinations then answer at least 6e-4 apart
MARGIN = 2e-5  # the least that is accepted; one set answers the same weld in another batch 1.2e-7 apart
MAX_TOLERANCE = 1e-3


@dataclass(frozen=True)
class TwoSets:
    """Model -> version, of the set that is live and of the one that replaces it."""

    old: Mapping[str, int]
    new: Mapping[str, int]

    @property
    def changed(self) -> tuple[str, ...]:
        """The models in which they differ, in the order of the ensemble."""
        return tuple(model for model in self.old if self.old[model] != self.new[model])

    def combinations(self) -> dict[str, dict[str, int]]:
        """Every way to choose each model from one of the sets: `old`, `new`, and the mixtures by their new
        models."""
        found = {}
        for choice in product((False, True), repeat=len(self.changed)):
            taken = [model for model, is_new in zip(self.changed, choice, strict=True) if is_new]
            name = {0: OLD, len(self.changed): NEW}.get(len(taken), f"mixture: new {', '.join(taken)}")
            found[name] = {model: (self.new if model in taken else self.old)[model] for model in self.old}
        return found


def copy_repository(source: Path, target: Path) -> Path:
    """The pipeline's models at version 1 in a repository of their own: the checkout's stays as it is."""
    shutil.rmtree(target, ignore_errors=True)
    for model in models_of(source, [PIPELINE]):
        shutil.copytree(source / model, target / model, ignore=_other_versions)
    return target


def _other_versions(_: str, names: Sequence[str]) -> set[str]:
    return {name for name in names if name.isdecimal() and name != "1"}


def make_candidate(work: Path, seed: int) -> Path:
    """Export a set from noisy weights to `work/candidate`; seconds when it is there already.

    raises: RuntimeError with the export's own words when it failed
    """
    weights = perturb(ROOT / "weights" / f"{PRESET}.safetensors", work / f"noisy-{seed}.safetensors", seed)
    names = [f"{PRESET}_{part}" for part in NOISY.values()]
    out = work / f"candidate-{sha256(weights)[:8]}"
    command = [sys.executable, "-m", "export", PRESET, "--weights", str(weights.resolve())]
    command += ["--only", *names, "--out", str(out.resolve())]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    if done.returncode:
        raise RuntimeError(f"export of the second set failed: {done.stderr.strip()}")
    return out


def perturb(weights: Path, out: Path, seed: int) -> Path:
    """Multiply the weights of the NOISY parts by 1 + NOISE * normal; everything else stays bit for bit."""
    from safetensors.numpy import load_file, save_file

    draw = np.random.default_rng(seed)
    state = load_file(weights)
    for name, tensor in sorted(state.items()):
        if name.startswith(tuple(f"{part}." for part in NOISY)) and tensor.dtype.kind == "f":
            noisy = tensor.astype(np.float32) * (1.0 + NOISE * draw.standard_normal(tensor.shape))
            state[name] = noisy.astype(tensor.dtype)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, out)
    return out


def references(live: Live, sets: TwoSets, canary_messages: Sequence[bytes]) -> dict[str, NDArray[np.float32]]:
    """What every combination answers to every message, (items, values) each.

    canary_messages: addressed to the pipeline's canary, the name under which each combination is asked
    """
    found = {}
    for name, versions in sets.combinations().items():
        refresh(live, sets.old, sets.new)
        live.pin(PIPELINE, versions, PIPELINE + CANARY)
        found[name] = ask(live.url, canary_messages, OUTPUTS)
    live.unpin(PIPELINE + CANARY)
    return found


def margin(found: Mapping[str, NDArray[np.float32]]) -> float:
    """How far, at the least, the answers of two combinations to one message lie apart (largest value counts).

    raises: ValueError when that is less than MARGIN: an answer could then not be told from another set's
    """
    apart = {
        (one, other): float(np.abs(found[one] - found[other]).max(axis=1).min())
        for one, other in combinations(found, 2)
    }
    (one, other), least = min(apart.items(), key=lambda pair: pair[1])
    if least < MARGIN:
        raise ValueError(
            f"two sets: expected every combination to answer at least {MARGIN:g} apart, got {least:.1e} "
            f"between {one!r} and {other!r}; choose a set whose models differ more"
        )
    return least


def tolerance(least: float) -> float:
    """How far an answer may lie from its own set: a quarter of the least distance, so it fits one only."""
    return min(MAX_TOLERANCE, least / 4.0)
