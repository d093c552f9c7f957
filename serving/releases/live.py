"""What a running server holds and which versions its ensembles are pinned to. gRPC model control only."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

CANARY, REHEARSAL = "_canary", "_rehearsal"  # what follows the pipeline's name for the same graph, other pins
LOAD_S = 600.0  # building the execution contexts of a large engine takes minutes
LOOK_S = 30.0  # for a question that touches no model; a server at its limit answers it late
THREADS = 8
CHANNEL = [
    # gRPC otherwise shares connections in a process, and with them the back-off after earlier refusals.
    ("grpc.use_local_subchannel_pool", 1),
    # A server that restarts answers 0.3 s after its start; by default gRPC looks again after 1 s, 1.6 s, ...
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
# Triton replaces the whole folder of a model by the files that come with a load request. An ensemble has
# none, and under a name that has no folder it loads only with some: one byte in a version folder does.
NO_FOLDER = {"file:1/none": b"x"}
# Each version's reason ends with a semicolon, and may have others within.
PARTS = re.compile(
    r"version (\d+) is at UNAVAILABLE state: (.*?);\s*(?=version \d+ is at UNAVAILABLE|\Z)", re.DOTALL
)


class Refused(RuntimeError):
    """The server answered, and the answer was no; status: the name of its gRPC status code."""

    def __init__(self, sentence: str, status: str = "") -> None:
        super().__init__(sentence)
        self.status = status


class Unreachable(RuntimeError):
    """The server did not answer: it is down, or on its way up."""


@dataclass(frozen=True)
class Statistics:
    """What an ensemble did since it was loaded last: requests that went well and failed, time of the good."""

    success: int
    fail: int
    success_ns: int


class Live:
    """A running server, as far as releases are concerned. Safe to use from several threads.

    url:        host:port of its gRPC endpoint
    repository: the model repository that it reads, as this process sees it
    target:     which configuration it reads, `cpu` or `gpu`
    errors:     of every method: Unreachable when nobody answers, Refused with the server's own reason
    """

    def __init__(self, url: str, repository: Path, target: str = "cpu") -> None:
        from tritonclient.grpc import InferenceServerClient  # here: a tenth of a second for `--help`

        self.url = url
        self.repository = repository
        self.target = target
        self._client = InferenceServerClient(url, channel_args=CHANNEL)
        self._pool = ThreadPoolExecutor(THREADS)

    def __enter__(self) -> Live:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._pool.shutdown()
        self._client.close()

    def answers(self) -> bool:
        """Whether the server answers at all; it does before it has loaded anything."""
        from tritonclient.utils import InferenceServerException

        try:
            return bool(self._client.is_server_live(client_timeout=LOOK_S))
        except InferenceServerException:
            return False

    def wait(self, timeout_s: float, check_alive: Callable[[], None] = lambda: None) -> float:
        """Wait until the server answers; returns the seconds. check_alive: raises when waiting is in vain."""
        started = time.monotonic()
        while not self.answers():
            check_alive()
            if time.monotonic() - started > timeout_s:
                raise Unreachable(
                    f"server {self.url}: expected an answer within {timeout_s:.0f} s, got none; "
                    "start it, or say the right --url"
                )
            time.sleep(0.05)
        return time.monotonic() - started

    def hold(self, versions: Mapping[str, Iterable[int]]) -> None:
        """Make exactly these versions of these models resident: load what is not, unload what is not listed.

        Versions that stay are not touched, so this is also how to tell the server what it already knows. Do
        that before every load of an ensemble: Triton then looks at the folders of its models again, and of
        one whose folder changed since its own last load (a version came or went) it would forget the list,
        load the newest version alone and take down the ensembles that are pinned to another.

        errors: Refused, a line per version that did not load; what was resident stays so
        """
        listed = {model: sorted(set(numbers)) for model, numbers in versions.items()}
        # A version that is not on disk is no error to the server: it would drop the others without it.
        absent = [
            f"{model}/{number}: expected that version folder in {self.repository.name}, found none"
            for model, numbers in listed.items()
            for number in numbers
            if not (self.repository / model / str(number)).is_dir()
        ]
        if absent:
            raise Refused("\n".join(absent))
        plain = [(model, numbers) for model, numbers in listed.items() if not self.is_ensemble(model)]
        faults = [fault for fault in self._pool.map(self._hold_one, plain) if fault]
        lost = [fault for fault in faults if isinstance(fault, Unreachable)]
        if lost:
            raise lost[0]
        if faults:
            raise Refused("\n".join(map(str, faults)), getattr(faults[0], "status", ""))

    def pin(self, pipeline: str, versions: Mapping[str, int], name: str | None = None) -> None:
        """Load the pipeline with every step at its version, in one step; `hold` all its models first.

        name: load the same graph under another name, which is how to try whether the server takes it: a set
        that it refuses takes the pipeline itself down
        """
        config = self._configuration(pipeline)
        for step in config.ensemble_scheduling.step:
            if step.model_name in versions:
                step.model_version = versions[step.model_name]
            elif not self.is_ensemble(step.model_name):
                raise Refused(
                    f"{pipeline}: expected a version for each of its models, got none for {step.model_name}; "
                    "its configuration changed since the release was made: prepare a new one"
                )
        config.name = name or pipeline
        self._load(config, None if config.name == pipeline else NO_FOLDER)

    def unpin(self, name: str) -> None:
        """Unload an ensemble and leave its models; nothing happens when it is not loaded."""
        self._ask(self._client.unload_model, name, unload_dependents=False, client_timeout=LOAD_S)

    def pinned(self, name: str) -> dict[str, int] | None:
        """Model -> version of each step of a loaded ensemble, -1 for the newest; None: it is not loaded."""
        try:
            answer = self._ask(self._client.get_model_config, name, client_timeout=LOOK_S)
        except Refused:
            return None
        steps = answer.config.ensemble_scheduling.step
        return {step.model_name: step.model_version for step in steps}

    def resident(self, models: Iterable[str]) -> dict[str, set[int]]:
        """Model -> the versions that are ready to answer."""
        index = self._ask(self._client.get_model_repository_index, client_timeout=LOOK_S)
        found: dict[str, set[int]] = {model: set() for model in models}
        for entry in index.models:
            if entry.name in found and entry.state == "READY":
                found[entry.name].add(int(entry.version))
        return found

    def is_ready(self, name: str) -> bool:
        """Whether a model or an ensemble is ready to answer."""
        return bool(self._ask(self._client.is_model_ready, name, client_timeout=LOOK_S))

    def is_ensemble(self, model: str) -> bool:
        """Whether the repository describes that model as a graph of others."""
        return bool(self._configuration(model).ensemble_scheduling.step)

    def statistics(self, name: str) -> Statistics:
        """Counters of a model; those of an ensemble begin at zero whenever it is loaded, a flip included."""
        answer = self._ask(self._client.get_inference_statistics, name, client_timeout=LOOK_S)
        each = [entry.inference_stats for entry in answer.model_stats]
        return Statistics(
            sum(one.success.count for one in each),
            sum(one.fail.count for one in each),
            sum(one.success.ns for one in each),
        )

    def _hold_one(self, listed: tuple[str, list[int]]) -> RuntimeError | None:
        model, numbers = listed
        config = self._configuration(model)
        config.version_policy.specific.versions[:] = numbers
        try:
            self._load(config)
        except (Refused, Unreachable) as error:
            return error
        return None

    def _configuration(self, model: str) -> ModelConfig:
        """A copy of what is on disk, to be changed."""
        from serving.required import configuration_file

        stat = configuration_file(self.repository, model, self.target).stat()
        parsed = _parsed(self.repository, model, self.target, (stat.st_mtime_ns, stat.st_ino, stat.st_size))
        copy = type(parsed)()
        copy.CopyFrom(parsed)
        return copy

    def _load(self, config: ModelConfig, files: Mapping[str, bytes] | None = None) -> None:
        from google.protobuf import json_format

        text = json_format.MessageToJson(config, preserving_proto_field_name=True)
        self._ask(self._client.load_model, config.name, config=text, files=files, client_timeout=LOAD_S)

    def _ask(self, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        from tritonclient.utils import InferenceServerException

        try:
            return call(*args, **options)
        except InferenceServerException as error:
            status = (error.status() or "").removeprefix("StatusCode.")
            # A live server says UNAVAILABLE too, of a model without versions: so ask it.
            if status in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED") and not self.answers():
                raise Unreachable(
                    f"server {self.url}: expected an answer, got none; start it, or say the right --url"
                ) from error
            raise Refused(_sentences(args[0] if args else "", error.message()), status) from error


@functools.lru_cache(maxsize=256)
def _parsed(repository: Path, model: str, target: str, stamp: tuple[int, int, int]) -> ModelConfig:
    """Parsed again only when the file's stamp changed: the eight of a pipeline take 12 of a flip's 33 ms."""
    from serving.required import configuration

    return configuration(repository, model, target)


def _sentences(model: str, message: str) -> str:
    """Why the server refused: a line per version that did not load, else its message."""
    from serving.server import cause

    text = re.sub(r"^load failed for model '[^']*': ", "", message)
    if parts := PARTS.findall(text):
        return "\n".join(f"{model} version {number}: {cause(why)}" for number, why in parts)
    return f"{model}: {cause(text)}" if model else cause(text)
