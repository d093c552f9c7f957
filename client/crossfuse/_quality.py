"""What `video_quality` answers, and reading it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._errors import ServerFault
from ._reading import Reading
from ._results import Answer

GRADES = ("bad", "poor", "fair", "good", "excellent")  # one for each fifth of the scale
BEST = 100.0


@dataclass(frozen=True)
class FrameQuality:
    """One moment that was sampled."""

    number: int
    """Of the frame, counted from 0."""
    time_s: float
    """Seconds from the first frame."""
    score: float
    """Quality of this moment, on the scale of the whole clip."""
    weight: float
    """Its share in the answer; those of one clip sum to 1."""


@dataclass(frozen=True, eq=False)
class Fusion:
    """How the two views of a video (detail in each frame, change between them) became one answer."""

    name: str
    rows: tuple[str, ...]
    """What each row of `weights` stands for; empty where the server names none."""
    columns: tuple[str, ...]
    """What each column stands for; empty where the server names none: then they are the frames in order."""
    weights: NDArray[np.float32]
    """(rows, columns): gates, shares of experts or attention; (0, 0) for a fusion that weighs nothing."""


@dataclass(frozen=True, eq=False, kw_only=True)
class VideoQuality(Answer):
    """The answer of `video_quality` for one video."""

    pipeline = "video_quality"
    remedies = ("send another file", "send the whole file")

    score: float
    """0 to 100, as VMAF counts: higher is better."""
    frames: tuple[FrameQuality, ...]
    """The moments that were sampled, in time; a video of fewer frames than moments has some twice."""
    fusion: Fusion

    @property
    def grade(self) -> str:
        """The score in a word: bad, poor, fair, good, excellent, a fifth of the scale each."""
        return grade_of(self.score)

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values for `json.dumps`; states become their names."""
        fusion = self.fusion
        return {
            "score": self.score,
            "grade": self.grade,
            **super().as_dict(),
            "frames": [vars(frame) for frame in self.frames],
            "fusion": {
                "name": fusion.name,
                "rows": list(fusion.rows),
                "columns": list(fusion.columns),
                "weights": fusion.weights.tolist(),
            },
        }


def grade_of(score: float) -> str:
    """The word for a score; what lies outside the scale has the word of its nearer end."""
    fifth = int(score // (BEST / len(GRADES)))
    return GRADES[min(max(fifth, 0), len(GRADES) - 1)]


def merged(frames: Sequence[FrameQuality]) -> list[FrameQuality]:
    """Frames as they lie in time, each once: of those sampled twice the mean score and the sum of weights."""
    found: dict[int, list[FrameQuality]] = {}
    for frame in sorted(frames, key=lambda frame: frame.number):
        found.setdefault(frame.number, []).append(frame)
    return [
        FrameQuality(
            number,
            same[0].time_s,
            sum(frame.score for frame in same) / len(same),
            sum(frame.weight for frame in same),
        )
        for number, same in found.items()
    ]


def read_quality(reading: Reading) -> VideoQuality:
    """Answer of `video_quality` -> VideoQuality.

    raises: ServerFault when tensors or names do not fit together.
    """
    scores = reading.output("frame_scores", (-1,))
    moments = (len(scores),)
    columns = (
        reading.output("frame_numbers", moments),
        reading.output("frame_times", moments),
        scores,
        reading.output("frame_weights", moments),
    )
    return VideoQuality(
        score=float(reading.output("quality_score", (1,))[0]),
        frames=tuple(
            FrameQuality(int(number), float(time_s), float(score), float(weight))
            for number, time_s, score, weight in zip(*columns, strict=True)
        ),
        fusion=read_fusion(reading),
        **reading.about(),
    )


def read_fusion(reading: Reading) -> Fusion:
    """The chosen fusion's entry of the parameter `fusions`, and its evidence without the zeros behind.

    raises: ServerFault when there is no such entry, or its labels do not fit the evidence
    """
    entries = [entry.split(":") for entry in reading.text("fusions").split(";")]
    index = int(reading.output("fusion_index", (1,))[0])
    if not 0 <= index < len(entries) or len(entries[index]) != 3:
        raise ServerFault(
            f"{reading.pipeline}: expected entry {index} of the parameter fusions as name:rows:columns, got "
            f"{reading.text('fusions')!r}; regenerate the pipeline's config.pbtxt and reload it"
        )
    name, rows, columns = entries[index]
    labels = _labels(rows), _labels(columns)
    padded = reading.output("fusion_weights", (-1, -1))
    shape = tuple(int(size) for size in reading.output("fusion_shape", (2,)))
    for size, room, words in zip(shape, padded.shape, labels, strict=True):
        if not 0 <= size <= room or (size and len(words) not in (0, size)):
            raise ServerFault(
                f"{reading.pipeline}: expected evidence of {name} that fits {padded.shape} and its labels "
                f"{rows!r}, {columns!r}, got {shape}; "
                "server and client disagree: bring both to the same release"
            )
    return Fusion(name, *labels, padded[: shape[0], : shape[1]])


def _labels(text: str) -> tuple[str, ...]:
    return tuple(text.split("|")) if text else ()
