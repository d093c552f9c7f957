"""What a quality trainer reads: clips in batches of any rows, from memory or made on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Batch = tuple[dict[str, Tensor], Tensor, Tensor | None]


class Samples(Protocol):
    """Clips to learn from; anything random in it must draw from torch's own generator, or a run that was
    interrupted cannot be resumed to the bit.
    """

    def __len__(self) -> int: ...

    def batch(self, rows: Tensor) -> Batch:
        """Inputs {name: (batch, ...)}, targets (batch,), frame targets (batch, frames) or None.

        rows: (batch,) int64, indices below `len`
        """
        ...


@dataclass(frozen=True)
class TensorSamples:
    """Clips that are in memory already.

    inputs: {name: (clips, ...)}; targets: (clips,); frame_targets: (clips, frames) or None
    """

    inputs: Mapping[str, Tensor]
    targets: Tensor
    frame_targets: Tensor | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, rows: Tensor) -> Batch:
        """See `Samples.batch`."""
        frames = None if self.frame_targets is None else self.frame_targets[rows]
        return {name: values[rows] for name, values in self.inputs.items()}, self.targets[rows], frames


def batches_on(device: torch.device, samples: Samples, order: Tensor, size: int) -> Iterator[Batch]:
    """The samples in this order, `size` at a time, on a device."""
    for rows in order.split(size):
        inputs, targets, frames = samples.batch(rows)
        moved = {name: values.to(device) for name, values in inputs.items()}
        yield moved, targets.to(device), None if frames is None else frames.to(device)
