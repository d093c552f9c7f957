"""What a user would pick instead of us: other servers, each doing the same job in its own environment.

Same weights, same files in, same tensors out, same cores, same cap on a batch, same generator. Each runs with
the batching that its own documentation recommends, once with PyTorch and once with the engines that we serve.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers.settings import Settings
from benchmarks.peers.wire import MODEL

REQUIREMENTS = Path(__file__).parent / "requirements"
MODULE = __name__


@dataclass(frozen=True)
class Peer:
    """One entry of PEERS.

    command:     (folder of programs in its environment, settings, folder of its own) -> what to run
    protocol:    how it is asked: `form` (HTTP, multipart) or `v2` (gRPC)
    package:     whose version a result names
    batching:    what its documentation recommends and we set, in a sentence
    environment: further variables
    """

    name: str
    title: str
    package: str
    protocol: str
    command: Callable[[Path, Settings, Path], list[str]]
    batching: str
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def requirements(self) -> Path:
        """What its environment has beside ours."""
        return REQUIREMENTS / f"{self.name}.txt"


def _uvicorn(programs: Path, told: Settings, _: Path) -> list[str]:
    arguments = ["--host", "127.0.0.1", "--port", str(told.port), "--workers", str(told.workers)]
    return [
        str(programs / "python"),
        *("-m", "uvicorn", f"{MODULE}.fast_api:app", *arguments, "--log-level", "warning"),
    ]


def _module(name: str) -> Callable[[Path, Settings, Path], list[str]]:
    return lambda programs, told, folder: [str(programs / "python"), "-m", f"{MODULE}.{name}"]


def _bentoml(programs: Path, told: Settings, _: Path) -> list[str]:
    where = ["--host", "127.0.0.1", "--port", str(told.port)]
    return [str(programs / "python"), "-m", "bentoml", "serve", f"{MODULE}.bento_ml:Welds", *where]


def _mlserver(programs: Path, told: Settings, folder: Path) -> list[str]:
    server = {
        "host": "127.0.0.1",
        "grpc_port": told.port,
        "http_port": told.port + 1,
        "metrics_port": told.port + 2,
        "parallel_workers": told.workers if told.workers > 1 else 0,
        "debug": False,
    }
    model = {
        "name": MODEL,
        "implementation": f"{MODULE}.ml_server.WeldInspection",
        "max_batch_size": told.max_batch,
        "max_batch_time": told.wait_ms / 1e3,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").write_text(json.dumps(server), encoding="utf-8")
    (folder / "model-settings.json").write_text(json.dumps(model), encoding="utf-8")
    return [str(programs / "mlserver"), "start", str(folder)]


PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer("fast_api", "FastAPI", "fastapi", "form", _uvicorn, "none: it has none"),
        Peer(
            "lit_serve", "LitServe", "litserve", "form", _module("lit_serve"), "max_batch_size, batch_timeout"
        ),
        Peer(
            "bento_ml",
            "BentoML",
            "bentoml",
            "form",
            _bentoml,
            "adaptive: max_batch_size, max_latency_ms",
            {"BENTOML_DO_NOT_TRACK": "true"},
        ),
        Peer(
            "ray_serve",
            "Ray Serve",
            "ray",
            "form",
            _module("ray_serve"),
            "serve.batch: max_batch_size, batch_wait_timeout_s",
            # Clusters off is what Ray does on a desktop: every one of its processes binds to loopback.
            {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"},
        ),
        Peer(
            "ml_server", "MLServer", "mlserver", "v2", _mlserver, "adaptive: max_batch_size, max_batch_time"
        ),
    )
}


def peer(name: str) -> Peer:
    """The entry of a peer; LookupError with the names there are."""
    if name not in PEERS:
        raise LookupError(f"peer: expected one of {', '.join(PEERS)}, got {name}")
    return PEERS[name]
