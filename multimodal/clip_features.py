"""What a quality fusion reads of a clip, and what every quality fusion is: two views of the same frames.

The spatial view sees detail frame by frame, the temporal view sees what changes. A fusion takes what it needs
of `ClipFeatures` and says which of its figures is its evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from multimodal.quality_presets import (
    QualityFusionSizes as QualityFusionSizes,
)  # also from here: fusions read both

EVIDENCE_ROWS, EVIDENCE_COLUMNS = 4, 16  # the served tensor; smaller evidence is followed by zeros


@dataclass(frozen=True)
class ClipWidths:
    """Widths of everything in `ClipFeatures`; levels: channels per stage, fine to coarse."""

    spatial: int
    temporal: int
    spatial_levels: tuple[int, ...]
    temporal_levels: tuple[int, ...]

    def __post_init__(self) -> None:
        for name in ("spatial", "temporal"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} width: expected at least 1, got {getattr(self, name)}")

    @property
    def common(self) -> int:
        """The width of both views; ValueError when they differ, for fusions that compare the two."""
        if self.spatial != self.temporal:
            raise ValueError(
                f"fusion: expected views of one width, got {self.spatial} (spatial) and {self.temporal} "
                "(temporal); choose a space-time fusion"
            )
        return self.spatial


@dataclass(frozen=True)
class ClipFeatures:
    """One batch of clips, encoded.

    spatial:         (batch, frames, spatial width)
    temporal:        (batch, steps, temporal width)
    frame_weights:   (batch, steps), each row sums to 1: how much each step counts
    spatial_vector:  (batch, spatial width), the frames averaged
    temporal_vector: (batch, temporal width), the steps averaged with `frame_weights`
    spatial_maps:    stage maps fine to coarse, each (batch, channels, height, width), averaged over frames
    temporal_levels: stage vectors fine to coarse, each (batch, channels), averaged over steps and space
    """

    spatial: Tensor
    temporal: Tensor
    frame_weights: Tensor
    spatial_vector: Tensor
    temporal_vector: Tensor
    spatial_maps: tuple[Tensor, ...]
    temporal_levels: tuple[Tensor, ...]

    @property
    def spatial_levels(self) -> tuple[Tensor, ...]:
        """Stage vectors fine to coarse, each (batch, channels)."""
        return tuple(stage.mean(dim=(2, 3)) for stage in self.spatial_maps)


@dataclass(frozen=True)
class Evidence:
    """What a fusion shows for its answer: `info[key]`, (batch, columns) or (batch, [heads,] rows, columns).

    key:     empty for a fusion that weighs nothing
    rows, columns: what they stand for; columns are frames where none are named
    """

    key: str = ""
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


class QualityFusion(Protocol):
    """What every entry of `multimodal.fusions.QUALITY_FUSIONS` is, beside an nn.Module.

    is_score:  the output is the quality score (batch, 1) itself and no head follows
    out_width: width of the output
    """

    is_score: ClassVar[bool]
    evidence: ClassVar[Evidence]
    out_width: int

    @classmethod
    def from_sizes(cls, widths: ClipWidths, sizes: QualityFusionSizes) -> QualityFusion:
        """Build the fusion for these views, with random weights."""
        ...

    def fuse_clip(self, clip: ClipFeatures) -> tuple[Tensor, dict[str, Any]]:
        """Fused (batch, out_width), or the score (batch, 1), and its info."""
        ...


def evidence_of(fusion: QualityFusion, info: dict[str, Any], fused: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """The evidence as (batch, EVIDENCE_ROWS, EVIDENCE_COLUMNS) and its real (rows, columns).

    fused, info: as `fuse_clip` returned them
    Heads are averaged; zeros fill the rest. ValueError when it is larger than the tensor.
    """
    if not fusion.evidence.key:
        return fused.new_zeros(fused.shape[0], EVIDENCE_ROWS, EVIDENCE_COLUMNS), (0, 0)
    weights = info[fusion.evidence.key]
    if weights.dim() == 4:
        weights = weights.mean(dim=1)  # (batch, heads, rows, columns) -> (batch, rows, columns)
    if weights.dim() == 2:
        weights = weights.unsqueeze(1)
    rows, columns = weights.shape[1:]
    if rows > EVIDENCE_ROWS or columns > EVIDENCE_COLUMNS:
        raise ValueError(
            f"evidence: expected at most {EVIDENCE_ROWS} x {EVIDENCE_COLUMNS}, got {rows} x {columns}; "
            "average some of it in the fusion"
        )
    padding = (0, EVIDENCE_COLUMNS - columns, 0, EVIDENCE_ROWS - rows)
    return torch.nn.functional.pad(weights, padding), (rows, columns)


def pack_levels(levels: Sequence[Tensor]) -> Tensor:
    """(batch, ...) tensors of stages -> (batch, all values), as one wire between two engines."""
    return torch.cat([level.flatten(1) for level in levels], dim=1)


def unpack_levels(packed: Tensor, shapes: Sequence[tuple[int, ...]]) -> tuple[Tensor, ...]:
    """The inverse of `pack_levels`; shapes without the batch."""
    sizes = [int(torch.Size(shape).numel()) for shape in shapes]
    parts = packed.split(sizes, dim=1)
    return tuple(part.unflatten(1, shape) for part, shape in zip(parts, shapes, strict=True))
