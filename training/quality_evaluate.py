"""How good a trained video quality preset is on clips of contents it has never seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multimodal.quality_build import QualityModel
from training.clip_dataset import ClipDataset
from training.quality_clips.distortions import MIXED
from training.quality_fusions import ask_with_wires
from training.quality_metrics import QualityReport, judge_quality, srcc
from training.quality_samples import TensorSamples

STEADY = 2.0  # deviation of VMAF over the frames of a clip below which there is no order to find


@dataclass(frozen=True)
class Group:
    """Agreement within one part of the clips; peer_srcc: that of BRISQUE, turned so that higher is better."""

    name: str
    clips: int
    srcc: float
    rmse: float
    peer_srcc: float


@dataclass(frozen=True)
class QualityEvaluation:
    """Everything the card says.

    fusions, choosing: fusion -> agreement on the held-out clips, and SRCC on those that chose the served one
    predicted, scores, peer: of the served fusion, BRISQUE and VMAF for every held-out clip, (clips,)
    moments: SRCC of the scores of single moments with VMAF of that frame, over all, and within clips
    counts:  split -> clips, contents
    """

    fusion: str
    fusions: Mapping[str, QualityReport]
    choosing: Mapping[str, float]
    peer_report: QualityReport
    kinds: Sequence[Group]
    contents: Sequence[Group]
    moments: tuple[float, float]
    predicted: NDArray[np.float64]
    scores: NDArray[np.float64]
    peer: NDArray[np.float64]
    names: Sequence[str]
    counts: Mapping[str, tuple[int, int]]
    ablations: Mapping[str, QualityReport]

    @property
    def report(self) -> QualityReport:
        """Of the served fusion."""
        return self.fusions[self.fusion]


@torch.no_grad()
def answers(model: QualityModel, samples: TensorSamples, batch: int = 64) -> tuple[Tensor, Tensor]:
    """Scores (clips,) and scores of moments (clips, 8) for cached wires."""
    model.eval()
    scores, frames = [], []
    for rows in torch.arange(len(samples)).split(batch):
        said = ask_with_wires(model, samples.batch(rows)[0])
        scores.append(said["quality_score"].reshape(-1))
        frames.append(said["frame_scores"])
    return torch.cat(scores), torch.cat(frames)


def kind_of(distortion: str) -> str:
    """Row of the table: the distortion, or `mixed` for two at once."""
    return "mixed" if MIXED in distortion else distortion or "unknown"


def groups_of(
    labels: Sequence[str],
    predicted: NDArray[np.float64],
    scores: NDArray[np.float64],
    peer: NDArray[np.float64],
) -> list[Group]:
    """One row per label, in alphabetical order."""
    found, of_clip = [], np.array(labels)
    for label in sorted(set(labels)):
        chosen = of_clip == label
        report = judge_quality(predicted[chosen], scores[chosen])
        found.append(
            Group(label, int(chosen.sum()), report.srcc, report.rmse, srcc(-peer[chosen], scores[chosen]))
        )
    return found


def moments_agree(frames: NDArray[np.float64], wanted: NDArray[np.float64]) -> tuple[float, float]:
    """SRCC of scores of moments with those wanted, (clips, 8) each: over all, and the mean within clips."""
    unsteady = (wanted.std(axis=1) > STEADY) & (frames.std(axis=1) > 0)
    within = [srcc(said, true) for said, true in zip(frames[unsteady], wanted[unsteady], strict=True)]
    inside = float(np.mean(within)) if within else float("nan")
    return srcc(frames.reshape(-1), wanted.reshape(-1)), inside


@dataclass(frozen=True)
class Beside:
    """What the card says beside the judgement of the weights.

    choosing: fusion -> SRCC on the clips that chose the served one; peer: BRISQUE of the held-out clips, in
    their order; ablations: the served fusion trained on less
    """

    choosing: Mapping[str, float]
    peer: NDArray[np.float64]
    ablations: Mapping[str, QualityReport]


def evaluate_models(
    models: Mapping[str, QualityModel],
    encoded: TensorSamples,
    dataset: ClipDataset,
    served: str,
    beside: Beside,
) -> QualityEvaluation:
    """Judge every fusion on the held-out clips, and the served one in detail.

    encoded: wires of the held-out clips
    """
    peer = beside.peer
    held = [dataset.clips[row] for row in dataset.splits["held_out"]]
    scores = encoded.targets.numpy().astype(np.float64)
    said = {name: answers(model, encoded) for name, model in models.items()}
    predicted = said[served][0].numpy().astype(np.float64)
    wanted = encoded.frame_targets
    frames = (
        wanted.numpy().astype(np.float64) if wanted is not None else np.repeat(scores[:, None], 8, axis=1)
    )
    return QualityEvaluation(
        fusion=served,
        fusions={name: judge_quality(one[0].numpy(), scores) for name, one in said.items()},
        choosing={name: beside.choosing.get(name, float("nan")) for name in models},
        peer_report=judge_quality(-peer, scores),
        kinds=groups_of([kind_of(clip.distortion) for clip in held], predicted, scores, peer),
        contents=groups_of([clip.content for clip in held], predicted, scores, peer),
        moments=moments_agree(said[served][1].numpy().astype(np.float64), frames),
        predicted=predicted,
        scores=scores,
        peer=peer,
        names=[kind_of(clip.distortion) for clip in held],
        counts={
            name: (len(rows), len({dataset.clips[row].content for row in rows}))
            for name, rows in dataset.splits.items()
        },
        ablations=beside.ablations,
    )
