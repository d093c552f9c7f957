"""MLServer: a custom runtime behind the V2 protocol over gRPC; `mlserver start FOLDER`.

Its batching is adaptive: requests that wait are merged input by input, which is why all inputs are in every
request, with empty texts for what is absent. Several workers are processes behind one queue; a single one
computes in a thread of the server itself and saves the hop.
"""

from __future__ import annotations

import asyncio

from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

from benchmarks.peers import settings
from benchmarks.peers.job import Job
from benchmarks.peers.wire import ANSWER, rows_of


class WeldInspection(MLModel):
    """The runtime that `model-settings.json` names."""

    async def load(self) -> bool:
        """Load the model, once per worker."""
        self.job = Job(settings.from_environment())
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Packed answers, one text per weld."""
        columns = {column.name: list(column.data) for column in payload.inputs}
        answers = await asyncio.to_thread(self.job.answer, rows_of(columns))
        output = ResponseOutput(name=ANSWER, shape=[len(answers), 1], datatype="BYTES", data=answers)
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=[output])
