"""One answer of a server, taken apart: outputs of the shape they must have, names that the server states."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from tritonclient.grpc import InferResult

from ._errors import ServerFault
from ._populations import Population
from ._results import Status


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

        raises: ServerFault if it is missing, of another shape, or text
        """
        found = self._shaped(name, shape)
        if found.dtype == object:
            raise self._foreign(name, "numbers", "text")
        return found

    def texts(self, name: str, count: int) -> tuple[str, ...]:
        """One output of texts; -1 fits any number of them.

        raises: ServerFault if it is missing, of another shape, or no UTF-8 text
        """
        found = self._shaped(name, (count,))
        if found.dtype != object:
            raise self._foreign(name, "text", found.dtype.name)
        try:
            return tuple(text.decode() for text in found)
        except UnicodeDecodeError as error:
            raise self._foreign(name, "UTF-8 text", f"{error.object[:16]!r}") from error

    def _foreign(self, name: str, expected: str, came: str) -> ServerFault:
        return ServerFault(
            f"{self.pipeline}: expected output {name} to be {expected}, got {came}; "
            "server and client disagree: bring both to the same release"
        )

    def _shaped(self, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
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

    def text(self, parameter: str) -> str:
        """A parameter. raises: ServerFault if the server states none."""
        text = self.parameters.get(parameter, "")
        if not text:
            raise ServerFault(
                f"{self.pipeline}: expected the parameter {parameter} in its configuration, got none; "
                "regenerate the pipeline's config.pbtxt and reload it"
            )
        return text

    def names(self, parameter: str) -> tuple[str, ...]:
        """A comma-separated parameter. raises: ServerFault if the server states none."""
        return tuple(self.text(parameter).split(","))

    def states(self, codes: Iterable[int]) -> tuple[Status, ...]:
        """Status codes as states. raises: ServerFault for a code that this client does not know."""
        try:
            return tuple(Status(int(code)) for code in codes)
        except ValueError as error:
            raise ServerFault(
                f"{self.pipeline}: expected status codes 0-3, got another ({error}); update the client"
            ) from error

    def about(self) -> dict[str, Any]:
        """The fields that every Answer has. raises: ServerFault"""
        modalities = self.names("modalities")
        states = self.states(self.output("modality_status", (len(modalities),)))
        return {
            "status": dict(zip(modalities, states, strict=True)),
            "sent": tuple(name for name in modalities if self.sent[name]),
            "version": self.version,
            "population": self.population,
        }


def read_outputs(pipeline: str, response: Any) -> dict[str, NDArray[Any]]:
    """Every output of a ModelInferResponse, batch axis removed.

    raises: ServerFault when bytes and shape disagree.
    """
    result = InferResult(response)
    try:
        return {output.name: result.as_numpy(output.name)[0] for output in response.outputs}
    except (ValueError, IndexError, struct.error) as error:  # struct: a text that is cut off
        raise ServerFault(
            f"{pipeline}: expected one row per output, got a broken one ({error}); see the server's log"
        ) from error
