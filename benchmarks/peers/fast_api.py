"""FastAPI: a plain endpoint that decodes and computes one weld; `uvicorn benchmarks.peers.fast_api:app`.

What most people write first. FastAPI batches nothing; plain (not async) endpoints run in its thread pool, so
that several requests are decoded side by side, and uvicorn's workers are processes.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, File, Response

from benchmarks.peers import settings
from benchmarks.peers.job import Job
from benchmarks.peers.wire import RAW

app = FastAPI()
job = Job(settings.from_environment())


@app.post("/predict")
def predict(
    video: Annotated[bytes, File()] = b"",
    image: Annotated[list[bytes], File()] = [],  # noqa: B006  FastAPI's way of saying optional; never changed
    audio: Annotated[bytes, File()] = b"",
    sensor: Annotated[bytes, File()] = b"",
) -> Response:
    """The answer for one weld."""
    files = {"video": [video], "image": image, "audio": [audio], "sensor": [sensor]}
    return Response(job.answer([files])[0], media_type=RAW)
