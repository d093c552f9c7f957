"""What a pipeline answers, as values."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from ._errors import DegradedModality, NoUsableModality
from ._populations import Population


class Status(enum.IntEnum):
    """State of one modality, or of one photo, as the server reports it."""

    OK = 0
    ABSENT = 1
    """Nothing was sent."""
    PARTIAL = 2
    """Used, but something was lost: a truncated video, one bad photo of several, sensor rows dropped."""
    CORRUPT = 3
    """Could not be decoded; the answer was made without it."""

    @property
    def usable(self) -> bool:
        """Whether the answer rests on it."""
        return self in (Status.OK, Status.PARTIAL)


@dataclass(frozen=True, eq=False, kw_only=True)
class Answer:
    """What every pipeline's answer has, beside what it found."""

    pipeline: ClassVar[str]
    """Whose answer this is."""
    remedies: ClassVar[tuple[str, str]]
    """What to do when nothing sent could be used, and when some of it was damaged."""

    status: dict[str, Status]
    """Modality -> state, in the server's order."""
    sent: tuple[str, ...]
    """The modalities that were sent."""
    version: str
    """Version of the pipeline that answered."""
    population: Population = "live"
    """Who answered: the live pipeline, or its canary."""

    @property
    def usable(self) -> tuple[str, ...]:
        """The modalities that the answer rests on."""
        return tuple(name for name, status in self.status.items() if status.usable)

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values for `json.dumps`; states become their names."""
        return {
            "status": {name: status.name for name, status in self.status.items()},
            "usable": list(self.usable),
            "version": self.version,
            "population": self.population,
        }


AnAnswer = TypeVar("AnAnswer", bound=Answer)


@dataclass(frozen=True, eq=False, kw_only=True)
class WeldInspection(Answer):
    """The answer of `weld_inspection` for one weld."""

    pipeline = "weld_inspection"
    remedies = ("record the weld again", "record the damaged ones again")

    scores: dict[str, float]
    """Class name -> probability, most probable first; they sum to 1."""
    anomaly_score: float
    """Probability in [0, 1] that the weld is not good."""
    embedding: NDArray[np.float32]
    """(width,) of unit length: distances between welds."""
    attention: dict[str, NDArray[np.float32]]
    """Modality -> (4 fusion tokens, length): where in it the model looked; each row sums to 1 if it was
    usable. Length: video time slices, photos, audio time bins, sensor steps."""
    image_status: tuple[Status, ...]
    """One state for each photo that was sent, in order."""
    audio_window_s: float | None = None
    """Seconds of sound that are heard, of a longer one as four excerpts; None if the server does not say."""
    sensor_columns: tuple[str, ...] = ()
    """Columns of the sensor log that are read; empty if the server does not say."""

    @property
    def defect(self) -> str:
        """The most probable class."""
        return next(iter(self.scores))

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values for `json.dumps`; states become their names."""
        return {
            "defect": self.defect,
            "scores": self.scores,
            "anomaly_score": self.anomaly_score,
            **super().as_dict(),
            "image_status": [status.name for status in self.image_status],
            "audio_window_s": self.audio_window_s,
            "sensor_columns": list(self.sensor_columns),
            "embedding": self.embedding.tolist(),
            "attention": {name: rows.tolist() for name, rows in self.attention.items()},
        }


@dataclass(frozen=True)
class ServerStatus:
    """What a server says about itself."""

    url: str
    live: bool
    """It answers."""
    ready: bool
    """Every model it loaded is ready."""
    version: str
    """Triton's version, empty while the server does not answer."""
    pipelines: Mapping[str, bool]
    """Pipeline -> ready to be asked."""

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values for `json.dumps`."""
        return {
            "url": self.url,
            "live": self.live,
            "ready": self.ready,
            "version": self.version,
            "pipelines": dict(self.pipelines),
        }


def judge(answer: AnAnswer, strict: bool) -> AnAnswer:
    """Return the answer if it may be handed out, else raise: one usable modality is enough for one.

    raises: NoUsableModality when nothing that was sent could be used; DegradedModality when `strict` and not
    all is OK.
    """
    if not any(answer.status[name].usable for name in answer.sent):
        raise _useless(answer, "at least one usable modality")
    return _whole(answer, strict)


def judge_all(answer: AnAnswer, strict: bool) -> AnAnswer:
    """The same where an answer rests on every modality: one that cannot be used leaves nothing to answer.

    raises: NoUsableModality, DegradedModality
    """
    if not all(state.usable for state in answer.status.values()):
        raise _useless(answer, " and ".join(answer.status) + " to be usable")
    return _whole(answer, strict)


def _useless(answer: Answer, expected: str) -> NoUsableModality:
    sentence = f"{answer.pipeline}: expected {expected}, got {_states(answer)}; {answer.remedies[0]}"
    return NoUsableModality(sentence, answer)


def _states(answer: Answer) -> str:
    return ", ".join(f"{name} {answer.status[name].name}" for name in answer.sent)


def _whole(answer: AnAnswer, strict: bool) -> AnAnswer:
    if strict and any(answer.status[name] is not Status.OK for name in answer.sent):
        raise DegradedModality(
            f"{answer.pipeline}: strict expects every modality sent to be OK, got {_states(answer)}; "
            f"{answer.remedies[1]}, or accept the answer with strict=False",
            answer,
        )
    return answer
