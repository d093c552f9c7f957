"""What every fusion of any number of modalities is: vectors in, one vector and a dict of evidence out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from multimodal.fusions.view_checks import require_inputs


@dataclass(frozen=True)
class ModalityFusionSizes:
    """What a fusion may use of; width: of the fused vector; heads: of attention."""

    width: int = 512
    heads: int = 8
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.width < 1 or self.heads < 1 or self.width % self.heads:
            raise ValueError(
                f"modality fusion: expected a width that is a multiple of heads, got width {self.width}, "
                f"heads {self.heads}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"modality fusion: expected dropout in [0, 1), got {self.dropout}")


class ModalityFusion(Protocol):
    """A module that joins one vector per modality; out_width: of what comes out."""

    out_width: int

    def __call__(self, features: Sequence[Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """One (batch, width) per modality -> fused (batch, out_width) and evidence."""
        ...


def require_modalities(fusion: str, features: Sequence[Tensor], width: int) -> None:
    """ValueError unless there is at least one input and all are (batch, width) of one batch."""
    if not features:
        raise ValueError(f"{fusion}: expected at least one modality, got none; give one tensor for each")
    require_inputs(fusion, features, (width,) * len(features), axes=(2,))


def one_width(fusion: str, widths: Sequence[int], sizes: ModalityFusionSizes) -> int:
    """The width of all modalities and of the output; ValueError when they differ."""
    if set(widths) != {sizes.width}:
        raise ValueError(
            f"{fusion}: expected modalities of the output's width {sizes.width}, got {tuple(widths)}; "
            "project them, or choose early fusion or the selected one, which do"
        )
    return sizes.width
