"""LitServe: decode a request, predict a batch, encode a response; `python -m benchmarks.peers.lit_serve`.

Its batching: `max_batch_size` and `batch_timeout`; its workers are processes that all read one queue.
"""

from __future__ import annotations

from typing import no_type_check

import litserve
from fastapi import Response

from benchmarks.peers import settings
from benchmarks.peers.job import Decoded, Job, decode
from benchmarks.peers.settings import Settings
from benchmarks.peers.wire import RAW
from multimodal.weld_classes import MODALITIES


class WeldInspection(litserve.LitAPI):
    """One worker's model."""

    def __init__(self, told: Settings) -> None:
        super().__init__(max_batch_size=told.max_batch, batch_timeout=told.wait_ms / 1e3)
        self.told = told

    def setup(self, device: str) -> None:
        """Load, once per worker."""
        self.job = Job(self.told)

    @no_type_check  # the type of `request` would decide how LitServe parses: without one, by content type
    def decode_request(self, request) -> Decoded:
        """From a form to tensors."""
        return decode({name: [part.file.read() for part in request.getlist(name)] for name in MODALITIES})

    def batch(self, inputs: list[Decoded]) -> list[Decoded]:
        """As they are: `Job.predict` stacks them."""
        return inputs

    def predict(self, x: list[Decoded]) -> list[bytes]:
        """Compute a batch."""
        return self.job.predict(x)

    def unbatch(self, output: list[bytes]) -> list[bytes]:
        """As they are: one answer per weld."""
        return output

    def encode_response(self, output: bytes) -> Response:
        """An answer as it lies in memory."""
        return Response(output, media_type=RAW)


def main() -> None:
    """Serve until stopped."""
    told = settings.from_environment()
    server = litserve.LitServer(
        WeldInspection(told), accelerator="cpu", devices=1, workers_per_device=told.workers, timeout=False
    )
    server.run(host="127.0.0.1", port=told.port, log_level="warning", generate_client_file=False)


if __name__ == "__main__":
    main()
