"""Decoded runs made ready for the encoders, and the nuisances they are shown with.

What a front end computes (log-mel above all) does not change while training, so it is computed once;
augmentation works on prepared inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from multimodal.weld import QuadModalWeldModel
from training.dataset import WeldDataset

CHUNK = 64  # runs at a time through a front end: bounds memory, costs nothing


@dataclass(frozen=True)
class Prepared:
    """One modality of some runs.

    inputs: pixels stay uint8 (runs, frames, H, W, 3); log-mel (runs, frames, bins) and series (runs, steps,
    channels)
            have passed their front end
    valid:  (runs, rows) bool
    labels: (runs,) class index
    """

    modality: str
    inputs: Tensor
    valid: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@torch.no_grad()
def prepare(model: QuadModalWeldModel, dataset: WeldDataset, rows: Sequence[int], modality: str) -> Prepared:
    """Read one modality of the chosen runs and, except for pixels, run its front end."""
    parts, masks, labels = [], [], []
    for chunk in torch.as_tensor(rows).split(CHUNK):
        raw, valid, label = dataset.batch(chunk.tolist(), (modality,))
        if modality == "audio":
            parts.append(model.front_ends["audio"](raw["audio"], raw["audio_samples"]))
        elif modality == "sensor":
            parts.append(model.front_ends["sensor"](raw["sensor"]))
        else:
            parts.append(raw[modality])
        masks.append(valid[modality])
        labels.append(label)
    return Prepared(modality, torch.cat(parts), torch.cat(masks), torch.cat(labels))


def tokens_of(
    model: QuadModalWeldModel, data: Prepared, rows: Tensor, augment: Augmentation | None = None
) -> Tensor:
    """Tokens of the chosen runs, (batch, length, width); `augment` shows them under other circumstances."""
    inputs = data.inputs[rows]
    if data.modality in ("video", "image"):
        inputs = model.front_ends[data.modality](inputs)
    if augment is not None:
        inputs = augment(data.modality, inputs)
    return model.encoders[data.modality](inputs)


class Augmentation:
    """Nuisances that a label must survive: exposure, a shifted camera, loudness, masked sound, noise."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self._of: dict[str, Callable[[Tensor], Tensor]] = {
            "video": partial(self._pixels, brightness=0.02),  # a dark scene: more would drown the arc's glow
            "image": partial(self._pixels, brightness=0.06),
            "audio": self._mel,
            "sensor": self._series,
        }

    def __call__(self, modality: str, inputs: Tensor) -> Tensor:
        """The same inputs, altered; shapes stay."""
        return self._of[modality](inputs)

    def _uniform(self, shape: tuple[int, ...], low: float, high: float) -> Tensor:
        return torch.rand(shape, generator=self.generator) * (high - low) + low

    def _pixels(self, pixels: Tensor, brightness: float) -> Tensor:
        """(batch, frames, 3, H, W) in [0, 1]: brighter or darker per run, the batch shifted by up to 4 px."""
        batch = pixels.shape[0]
        gain = self._uniform((batch, 1, 1, 1, 1), 0.85, 1.15)
        offset = self._uniform((batch, 1, 1, 1, 1), -brightness, brightness)
        down, right = torch.randint(-4, 5, (2,), generator=self.generator).tolist()
        return (torch.roll(pixels, (down, right), (-2, -1)) * gain + offset).clamp(0, 1)

    def _mel(self, mel: Tensor) -> Tensor:
        """(batch, frames, bins): louder or softer, a tenth of the time masked."""
        batch, frames, _ = mel.shape
        start = torch.randint(0, frames, (batch, 1), generator=self.generator)
        time = torch.arange(frames)
        masked = (time >= start) & (time < start + frames // 10)  # (batch, frames)
        return (mel + self._uniform((batch, 1, 1), -0.1, 0.1)).masked_fill(masked.unsqueeze(-1), 0.0)

    def _series(self, series: Tensor) -> Tensor:
        """(batch, steps, channels): a little noise on every value."""
        return series + 0.1 * torch.randn(series.shape, generator=self.generator)
