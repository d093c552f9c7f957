"""Whether a file of weights fits a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor


def require_file(path: Path) -> None:
    """FileNotFoundError where there is no file."""
    if not path.is_file():
        raise FileNotFoundError(
            f"weights: expected a safetensors file at {path}, found none; train or download it first"
        )


def require_fit(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    """ValueError when names or shapes of the tensors of a file differ from those that a model expects."""
    unknown, missing = sorted(set(state) - set(expected)), sorted(set(expected) - set(state))
    misshapen = [name for name in state if name in expected and state[name].shape != expected[name].shape]
    if unknown or missing or misshapen:
        raise ValueError(
            f"weights {path.name}: expected the {len(expected)} tensors of this preset, got {len(missing)} "
            f"missing, {len(unknown)} unknown and {len(misshapen)} of another shape (first: "
            f"{(missing + unknown + misshapen)[0]}); use the preset that they were trained with"
        )
