"""One `tritonserver`: the command that starts it, its ports, and how to know that it is ready."""

import json
import random
import re
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from serving.embedded import Installation

if TYPE_CHECKING:
    from tritonclient.grpc import InferenceServerClient

HOST = "127.0.0.1"
# Below the ephemeral range of Linux (32768-60999): a client that reconnects while the server restarts could
# be given the port of the server as its source, connect to itself and keep the port from the server.
FREE_PORTS = range(20000, 32000)
# Shared memory of each python backend process, taken whole when it starts and grown by steps of this size,
# for good. The twelve processes of two pipelines start with 24 MiB; 64 requests at once to each took them to
# 52 (in steps of 4 MiB: 68, of 8: 104). A video of 10 MB takes gate and preprocess to 20 MiB each. All four
# pipelines are 27 processes, 54 MiB before the first request: a container, which has 64 MiB by default, wants
# `--shm-size=512m`. Where nothing is left, a request gets an error that says so, and the next one an answer.
SHM_BYTES = 2 << 20
SHM_BUSY_BYTES = 8 << 20  # what the region of an engine may grow to with full batches of the largest input
# GPU memory of what steps hand to each other: 150 MiB for four batches of weld_base between decoders and
# engines, and room for gathered rows. What does not fit goes through the host. By reasoning, not measured.
POOL_BYTES = 512 << 20
TARGET_FLAGS: dict[str, tuple[str, ...]] = {
    "cpu": (),
    "gpu": (f"--cuda-memory-pool-byte-size=0:{POOL_BYTES}",),
}
ANSWER_S = 2.0  # for a health call, which the server answers without touching a model


@dataclass(frozen=True)
class Ports:
    """TCP ports of one server."""

    grpc: int = 8001
    http: int = 8000
    metrics: int = 8002

    def __post_init__(self) -> None:
        if len({self.grpc, self.http, self.metrics}) < 3:
            raise ValueError(
                f"ports: expected three different ones, got {self.grpc} (grpc), {self.http} (http), "
                f"{self.metrics} (metrics)"
            )
        for name, port in vars(self).items():
            if not 0 < port < 65536:
                raise ValueError(f"{name} port: expected 1 to 65535, got {port}")


@dataclass(frozen=True)
class Options:
    """What one server serves and where.

    shm_prefix: start of the names of its shared memory regions, unique per server, so that what a crashed
    server leaves behind is recognised and nobody else's is touched.
    triton:     folder of the installation of NVIDIA's container; None for the embedded one
    """

    repository: Path
    pipelines: tuple[str, ...]
    ports: Ports
    shm_prefix: str
    target: str = "cpu"
    host: str = HOST
    exit_timeout_s: int = 15  # the gate admits about ten seconds of work: let it drain
    triton: Path | None = None

    def __post_init__(self) -> None:
        if not self.pipelines:
            raise ValueError("pipelines: expected at least one, got none; name an ensemble of the repository")


def options_to_json(options: Options) -> str:
    """Options as one argument of a command line."""
    paths = {
        "repository": str(options.repository),
        "triton": str(options.triton) if options.triton else None,
    }
    return json.dumps(asdict(options) | paths)


def options_from_json(text: str) -> Options:
    """The inverse of `options_to_json`."""
    fields = json.loads(text)
    changes = {
        "repository": Path(fields["repository"]),
        "pipelines": tuple(fields["pipelines"]),
        "ports": Ports(**fields["ports"]),
        "triton": Path(fields["triton"]) if fields["triton"] else None,
    }
    return Options(**fields | changes)


def command(options: Options, installation: Installation) -> list[str]:
    """The command line of a server that starts empty; `serving.releases.keeper` loads its pipelines."""
    ports, host = options.ports, options.host
    return [
        str(installation.tritonserver),
        f"--model-repository={options.repository}",
        f"--backend-directory={installation.backend_directory}",
        "--model-control-mode=explicit",  # polling could read a version that is half written
        f"--model-config-name={options.target}",
        "--disable-auto-complete-config",  # the committed configuration is the whole truth
        # One new version that failed to load would else make the whole server "not ready" until it restarts,
        # though all that is live answers: a probe of /v2/health/ready would take it out of service.
        "--strict-readiness=false",
        f"--grpc-address={host}",
        f"--grpc-port={ports.grpc}",
        f"--http-address={host}",
        f"--http-port={ports.http}",
        f"--metrics-address={host}",
        f"--metrics-port={ports.metrics}",
        f"--exit-timeout-secs={options.exit_timeout_s}",
        # In 2.51 the settings of `python` hold for every python-based backend, whatever its name.
        f"--backend-config=python,shm-region-prefix-name={options.shm_prefix}",
        f"--backend-config=python,shm-default-byte-size={SHM_BYTES}",
        f"--backend-config=python,shm-growth-byte-size={SHM_BYTES}",
        *TARGET_FLAGS[options.target],
        "--log-format=ISO8601",
        "--log-verbose=0",
    ]


def free_ports(count: int = 3, attempts: int = 200) -> list[int]:
    """Ports of this machine that nobody listens on, at random so that two callers seldom meet."""
    found: list[int] = []
    for port in random.sample(FREE_PORTS, attempts):
        if is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(
        f"ports: expected {count} free ones in {FREE_PORTS}, found {len(found)} in {attempts} attempts"
    )


def ports_around(grpc: int) -> Ports:
    """Triton's usual layout (8000, 8001, 8002) around any gRPC port; free ones for 0."""
    return Ports(grpc=grpc, http=grpc - 1, metrics=grpc + 1) if grpc else Ports(*free_ports(3))


def is_free(port: int, host: str = HOST) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as candidate:
        # Like the server itself: connections of a server that just died (TIME_WAIT) do not count as taken.
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((host, port))
        except OSError:
            return False
    return True


def loaded_models(log: str) -> list[str]:
    """Models that the server reports as loaded, in its log since it started; each once."""
    return list(dict.fromkeys(re.findall(r"successfully loaded '([^']+)'", log)))


def failure(log: str, lines: int = 6) -> str:
    """Why a server did not start, from its log: a line per model that did not load, else errors or the end.

    The traceback that the python backend appends is left out; it stands in the log.
    """
    unloaded = re.findall(r"failed to load '([^']+)' version (\d+): (.*)\"", log)
    if unloaded:
        causes = [f"{model} version {version}: {cause(text)}" for model, version, text in unloaded]
    else:
        errors = re.findall(r"^(?:\S+ E \d+ \S+ |error: )(.*)", log, re.MULTILINE)
        causes = [
            cause(text) for text in errors if "CudaDriverHelper" not in text
        ]  # every start without a GPU
    chosen = (
        list(dict.fromkeys(causes))[:lines] or [line for line in log.splitlines() if line.strip()][-lines:]
    )
    return "\n".join(line[:600] for line in chosen)


def cause(text: str) -> str:
    """A message of the server without the wrapping that each layer of the server adds."""
    text = text.replace("\\n", "\n").strip('"').partition("\n\nAt:")[0]
    return " ".join(
        re.sub(r"^(Internal|Invalid argument|TritonModelException): ", "", text).split()
    ).removeprefix("TritonModelException: ")


def wait_answering(
    options: Options, timeout_s: float, check_alive: Callable[[], None], interval_s: float = 0.05
) -> float:
    """Wait until the server answers over gRPC, which it does before it has loaded any model; returns seconds.

    check_alive: called before each look, raises when there is nothing left to wait for
    errors:      TimeoutError that says where nobody answered
    """
    started = time.monotonic()
    while "the server" in not_ready(options):
        check_alive()
        if time.monotonic() - started > timeout_s:
            where = f"{options.host}:{options.ports.grpc}"
            raise TimeoutError(f"server: expected an answer on {where} within {timeout_s:.0f} s, got none")
        time.sleep(interval_s)
    return time.monotonic() - started


def not_ready(options: Options) -> Sequence[str]:
    """What does not answer as ready: the server itself, or pipelines by name."""
    if is_free(options.ports.grpc, options.host):  # nobody listens: not worth a connection and its back-off
        return ["the server"]
    from tritonclient.utils import InferenceServerException

    try:
        with _connected(options) as client:
            if not client.is_server_live(client_timeout=ANSWER_S):
                return ["the server"]
            return [
                name for name in options.pipelines if not client.is_model_ready(name, client_timeout=ANSWER_S)
            ]
    except InferenceServerException:
        return ["the server"]


def is_version_ready(options: Options, model: str, version: str) -> bool:
    """Whether the server says that this version of a model is ready; False when it does not answer."""
    from tritonclient.utils import InferenceServerException

    try:
        with _connected(options) as client:
            return client.is_model_ready(model, version, client_timeout=ANSWER_S)
    except InferenceServerException:
        return False


def _connected(options: Options) -> "InferenceServerClient":
    from tritonclient.grpc import InferenceServerClient  # here: half a second that `--help` need not pay

    # gRPC otherwise shares connections in a process, and with them the back-off after earlier refusals.
    own_pool = [("grpc.use_local_subchannel_pool", 1)]
    return InferenceServerClient(f"{options.host}:{options.ports.grpc}", channel_args=own_pool)
