"""BentoML: a service for forms before one that batches; `bentoml serve benchmarks.peers.bento_ml:Welds`.

Its batching is adaptive: the model's service learns how long batches take and turns requests away that could
not be answered within `max_latency_ms`. An endpoint that batches takes one list, so the documented way to
several inputs is a service in front; between the two everything travels pickled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import bentoml
from aiohttp import ClientConnectionError
from bentoml.validators import ContentType
from pydantic import BaseModel

from benchmarks.peers import settings
from benchmarks.peers.job import Job
from benchmarks.peers.wire import RAW

TOLD = settings.from_environment()
MAX_LATENCY_MS = 60_000  # its default; with the SLO of 500 it turned 34 of 48 requests at once away
# By default the service in front closes its connections after a hundred requests, with those that are under
# way on them: 4 to 8 of 48 at once failed (bentoml/BentoML#5698 tells of the like).
KEPT_OPEN = {"max_age": 86_400.0, "max_requests": 1_000_000_000}
QUIET = {"access": {"enabled": False}}  # a line per request, which no other peer writes


class Files(BaseModel):
    """The files of one weld; see `wire.Files`."""

    video: list[bytes]
    image: list[bytes]
    audio: list[bytes]
    sensor: list[bytes]


@bentoml.service(workers=TOLD.workers, traffic={"timeout": 60}, runner_connection=KEPT_OPEN, logging=QUIET)
class Model:
    """Decodes and computes batches."""

    def __init__(self) -> None:
        self.job = Job(TOLD)

    @bentoml.api(batchable=True, max_batch_size=TOLD.max_batch, max_latency_ms=MAX_LATENCY_MS)
    def answer(self, welds: list[Files]) -> list[bytes]:
        """Packed answers, one per weld."""
        return self.job.answer([{name: getattr(weld, name) for name in Files.model_fields} for weld in welds])


@bentoml.service(workers=1, traffic={"timeout": 60}, logging=QUIET)
class Welds:
    """Takes forms."""

    model = bentoml.depends(Model)

    @bentoml.api
    async def predict(
        self,
        video: list[Path] = [],  # noqa: B006  BentoML's way of saying optional; never changed
        image: list[Path] = [],  # noqa: B006
        audio: list[Path] = [],  # noqa: B006
        sensor: list[Path] = [],  # noqa: B006
    ) -> Annotated[bytes, ContentType(RAW)]:
        """The answer for one weld."""
        paths = {"video": video, "image": image, "audio": audio, "sensor": sensor}
        files = Files(**{name: [path.read_bytes() for path in given] for name, given in paths.items()})
        try:
            return (await self.model.to_async.answer([files]))[0]
        except ClientConnectionError:
            # A connection that rested for five seconds is closed by one service while the other still means
            # to use it for ten more, and no setting says otherwise (bentoml/BentoML#4971).
            return (await self.model.to_async.answer([files]))[0]
