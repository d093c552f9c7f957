"""The pipelines this client speaks: how payloads become a request, and an answer becomes a result.

A new pipeline is one entry of PIPELINES and its two functions. Names of classes and modalities, and their
order, come from the running server (the parameters of the ensemble's configuration), never from here.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ._errors import InvalidInput, UnknownPipeline
from ._image_text import QUESTION_NEEDS, vision_language_tensors, visual_question_tensors
from ._payloads import InputTensor, Payload, quality_tensors, weld_tensors
from ._quality import read_quality
from ._reading import Reading
from ._results import Answer, judge, judge_all
from ._vision_language import read_vision_language
from ._visual_answer import read_visual_answer
from ._weld import read_weld


@dataclass(frozen=True)
class Pipeline:
    """One entry of PIPELINES."""

    name: str
    payloads: tuple[str, ...]
    """The keyword arguments that `infer` takes for it."""
    tensors: Callable[[Mapping[str, Payload]], Sequence[InputTensor]]
    """Payloads -> inputs; may read files, raises InvalidInput."""
    read: Callable[[Reading], Answer]
    judge: Callable[[Any, bool], Answer]
    """(answer, strict) -> the answer, or raises a ModalityError."""
    required: tuple[str, ...] = ()
    """Payloads without which it does not answer; where it is empty, any one will do."""
    several: tuple[str, ...] = ()
    """Payloads that may be more than one file."""

    def __post_init__(self) -> None:
        if taken := {"self", "pipeline", "key"} & set(self.payloads):
            raise ValueError(
                f"{self.name}: expected payload names that `infer` does not use itself, got "
                f"{', '.join(sorted(taken))}; choose another name"
            )


PIPELINES: Mapping[str, Pipeline] = {
    pipeline.name: pipeline
    for pipeline in (
        Pipeline(
            "weld_inspection",
            ("video", "image", "audio", "sensor"),
            weld_tensors,
            read_weld,
            judge,
            several=("image",),
        ),
        Pipeline("video_quality", ("video",), quality_tensors, read_quality, judge, required=("video",)),
        Pipeline("vision_language", ("image", "text"), vision_language_tensors, read_vision_language, judge),
        Pipeline(
            "visual_question_answering",
            QUESTION_NEEDS,
            visual_question_tensors,
            read_visual_answer,
            judge_all,
            required=QUESTION_NEEDS,
        ),
    )
}


def find(name: str) -> Pipeline:
    """The pipeline of that name. raises: UnknownPipeline with the nearest spelling."""
    if name in PIPELINES:
        return PIPELINES[name]
    near = difflib.get_close_matches(name, PIPELINES, n=1)
    advice = f"did you mean {near[0]}?" if near else "choose one of those"
    raise UnknownPipeline(f"pipeline: expected one of {', '.join(PIPELINES)}, got {name!r}; {advice}")


def check_names(pipeline: Pipeline, payloads: Iterable[str]) -> None:
    """Refuse payload names that the pipeline does not take.

    raises: InvalidInput with the nearest spelling.
    """
    for name in payloads:
        if name not in pipeline.payloads:
            near = difflib.get_close_matches(name, pipeline.payloads, n=1)
            advice = f"did you mean {near[0]}?" if near else "leave it out"
            raise InvalidInput(
                f"{pipeline.name}: expected payloads {', '.join(pipeline.payloads)}, got {name!r}; {advice}"
            )
