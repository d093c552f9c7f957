"""Ray Serve: a deployment with replicas behind its HTTP proxy; `python -m benchmarks.peers.ray_serve`.

Its batching: `serve.batch` within each replica. The model runs in a thread, as Ray advises, so that a replica
goes on collecting the next batch meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import threading

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.peers import settings
from benchmarks.peers.job import Job
from benchmarks.peers.settings import Settings
from benchmarks.peers.wire import RAW, Files
from multimodal.weld_classes import MODALITIES

OBJECTS_BYTES = 100 << 20  # of shared memory: requests pass by it only when they are larger than 100 KB


class WeldInspection:
    """One replica's model."""

    def __init__(self, told: Settings) -> None:
        self.job = Job(told)
        self.predict.set_max_batch_size(told.max_batch)
        self.predict.set_batch_wait_timeout_s(told.wait_ms / 1e3)

    @serve.batch
    async def predict(self, welds: list[Files]) -> list[bytes]:
        """Packed answers, one per weld."""
        return await asyncio.to_thread(self.job.answer, welds)

    async def __call__(self, request: Request) -> Response:
        """The answer for one weld."""
        form = await request.form()
        files = {name: [await part.read() for part in form.getlist(name)] for name in MODALITIES}
        return Response(await self.predict(files), media_type=RAW)


def stay_on_this_machine() -> None:
    """Have replicas of this process listen to this machine alone; Ray 2.60 opens their port everywhere.

    It is written into its source where no option reaches; what is served stays the same.
    """
    from ray.serve._private import replica

    add_port = replica.add_port_to_grpc_server
    replica.add_port_to_grpc_server = lambda server, address: add_port(
        server, address.replace("[::]", "127.0.0.1")
    )


def main() -> None:
    """Serve until stopped; its own processes listen on the loopback interface only (see PEERS)."""
    told = settings.from_environment()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        ray.init(
            address="local",
            num_cpus=max(told.workers, len(os.sched_getaffinity(0))),
            object_store_memory=OBJECTS_BYTES,
            include_dashboard=False,
            runtime_env={"worker_process_setup_hook": stay_on_this_machine},
            _temp_dir=folder,
        )
        try:
            serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": told.port})
            # Two full batches in flight: one is computed, one fills. Past that the proxy holds requests back.
            replica = serve.deployment(WeldInspection).options(
                num_replicas=told.workers, max_ongoing_requests=2 * told.max_batch
            )
            serve.run(replica.bind(told), route_prefix="/predict")
            stop.wait()
            serve.shutdown()
        finally:
            ray.shutdown()


if __name__ == "__main__":
    main()
