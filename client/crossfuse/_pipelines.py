"""The pipelines this client speaks: how payloads become a request, and an answer becomes a result.

A new pipeline is one entry of PIPELINES and its two functions. Names of classes and modalities, and their
order, come from the running server (the parameters of the ensemble's configuration), never from here.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferResult

from ._errors import InvalidInput, ServerFault, UnknownPipeline
from ._payloads import InputTensor, Payload, weld_tensors
from ._populations import Population
from ._results import Status, WeldInspection, judge

Answer = WeldInspection
"""What `infer` can return."""

AUDIO_RATE_HZ = 16_000  # of every served waveform


@dataclass(frozen=True)
class Reading:
    """All that is needed to read one answer."""

    pipeline: str
    outputs: Mapping[str, NDArray[Any]]
    """Tensor name -> array, with the batch axis of 1 removed."""
    version: str
    parameters: Mapping[str, str]
    """The pipeline's parameters as the server states them."""
    sent: Mapping[str, int]
    """Input tensor -> elements sent; 0 means absent."""
    population: Population = "live"

    def output(self, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """One output; -1 in `shape` fits any length.

        raises: ServerFault if it is missing or of another shape.
        """
        found = self.outputs.get(name)
        fits = found is not None and len(found.shape) == len(shape)
        if (
            found is None
            or not fits
            or any(want not in (-1, got) for want, got in zip(shape, found.shape, strict=True))
        ):
            came = "nothing" if found is None else found.shape
            raise ServerFault(
                f"{self.pipeline}: expected output {name} of shape {shape}, got {came}; "
                "server and client disagree: bring both to the same release"
            )
        return found

    def names(self, parameter: str) -> tuple[str, ...]:
        """A comma-separated parameter. raises: ServerFault if the server states none."""
        text = self.parameters.get(parameter, "")
        if not text:
            raise ServerFault(
                f"{self.pipeline}: expected the parameter {parameter} in its configuration, got none; "
                "regenerate the pipeline's config.pbtxt and reload it"
            )
        return tuple(text.split(","))


@dataclass(frozen=True)
class Pipeline:
    """One entry of PIPELINES."""

    name: str
    payloads: tuple[str, ...]
    """The keyword arguments that `infer` takes for it."""
    tensors: Callable[[Mapping[str, Payload]], Sequence[InputTensor]]
    """Payloads -> inputs; may read files, raises InvalidInput."""
    read: Callable[[Reading], Answer]
    judge: Callable[[Answer, bool], Answer]
    """(answer, strict) -> the answer, or raises a ModalityError."""

    def __post_init__(self) -> None:
        if taken := {"self", "pipeline", "key"} & set(self.payloads):
            raise ValueError(
                f"{self.name}: expected payload names that `infer` does not use itself, got "
                f"{', '.join(sorted(taken))}; choose another name"
            )


def read_weld(reading: Reading) -> WeldInspection:
    """Answer of `weld_inspection` -> WeldInspection.

    raises: ServerFault when tensors or names do not fit together.
    """
    classes, modalities = reading.names("class_names"), reading.names("modalities")
    probabilities = reading.output("probabilities", (len(classes),))
    states = _states(reading, reading.output("modality_status", (len(modalities),)))
    photos = reading.output("image_status", (-1,))[: reading.sent["image_sizes"]]
    window = reading.parameters.get("audio_window_samples")
    return WeldInspection(
        scores={
            classes[index]: float(probabilities[index]) for index in np.argsort(-probabilities, kind="stable")
        },
        anomaly_score=float(reading.output("anomaly_score", (1,))[0]),
        embedding=reading.output("embedding", (-1,)),
        attention={name: reading.output(f"{name}_attention", (-1, -1)) for name in modalities},
        status=dict(zip(modalities, states, strict=True)),
        image_status=_states(reading, photos),
        sent=tuple(name for name in modalities if reading.sent[name]),
        version=reading.version,
        population=reading.population,
        audio_window_s=int(window) / AUDIO_RATE_HZ if window else None,
        sensor_columns=tuple(filter(None, reading.parameters.get("sensor_columns", "").split(","))),
    )


def _states(reading: Reading, codes: Iterable[int]) -> tuple[Status, ...]:
    try:
        return tuple(Status(int(code)) for code in codes)
    except ValueError as error:
        raise ServerFault(
            f"{reading.pipeline}: expected status codes 0-3, got another ({error}); update the client"
        ) from error


PIPELINES: Mapping[str, Pipeline] = {
    pipeline.name: pipeline
    for pipeline in (
        Pipeline("weld_inspection", ("video", "image", "audio", "sensor"), weld_tensors, read_weld, judge),
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


def read_outputs(pipeline: str, response: Any) -> dict[str, NDArray[Any]]:
    """Every output of a ModelInferResponse, batch axis removed.

    raises: ServerFault when bytes and shape disagree.
    """
    result = InferResult(response)
    try:
        return {output.name: result.as_numpy(output.name)[0] for output in response.outputs}
    except (ValueError, IndexError) as error:
        raise ServerFault(
            f"{pipeline}: expected one row per output, got a broken one ({error}); see the server's log"
        ) from error
