"""What the client says to the server, as generators that touch nothing.

A flow yields steps (Send, Pause, Work) and is sent what came of each; `Client` and `AsyncClient` only carry
the steps out, one by blocking and one by awaiting. So retries, deadlines and parsing exist once, and tests
can play the world.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, TypeVar

import grpc
from tritonclient.grpc import service_pb2

from ._errors import RETRYABLE, CrossfuseError, ServerUnavailable, Timeout, UnknownPipeline, error_for
from ._payloads import InputTensor, Payload, infer_request, set_timeout
from ._pipelines import PIPELINES, Pipeline, check_names, find
from ._populations import Population, canary_of, check_key, check_share, payload_key, population
from ._reading import Reading, read_outputs
from ._results import Answer, ServerStatus
from ._retries import Pace, Retries


@dataclass(frozen=True)
class Send:
    """Call `method` of the inference service; the reply is a Reply, a Refusal, or a Silence after
    `wait_s`."""

    method: str
    request: Any
    wait_s: float


@dataclass(frozen=True)
class Pause:
    """Wait before going on; the reply is None."""

    seconds: float


@dataclass(frozen=True)
class Work:
    """Call a function that may block, such as reading files; the reply is its result."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Reply:
    """The server answered."""

    message: Any


@dataclass(frozen=True)
class Refusal:
    """The call ended with a status code other than OK."""

    code: grpc.StatusCode
    detail: str


@dataclass(frozen=True)
class Silence:
    """No answer within the time allowed; the call goes on without us."""


Outcome = Reply | Refusal | Silence
Step = Send | Pause | Work
T = TypeVar("T")
Flow = Generator[Step, Any, T]


def run_blocking(flow: Flow[T], perform: Callable[[Step], Any]) -> T:
    """Carry a flow out, one step after the other."""
    came: Any = None
    while True:
        try:
            step = flow.send(came)
        except StopIteration as stop:
            result: T = stop.value
            return result
        came = perform(step)


@dataclass
class Conversation:
    """Everything one client knows and decides, apart from how bytes travel."""

    url: str
    timeout_s: float
    retries: Retries | None
    strict: bool
    canary: float = 0.0
    clock: Callable[[], float] = time.monotonic
    _parameters: dict[str, Mapping[str, str]] = field(default_factory=dict, init=False)
    _pace: Pace = field(init=False)

    def __post_init__(self) -> None:
        if "://" in self.url or ":" not in self.url:
            raise ValueError(
                f"url: expected host:port of the gRPC endpoint such as 127.0.0.1:8001, got {self.url!r}; "
                "leave out http:// and the path, name the port"
            )
        if self.timeout_s <= 0:
            raise ValueError(f"timeout_s: expected seconds above 0, got {self.timeout_s}; the default is 60")
        check_share(self.canary)
        self._pace = Pace(self.retries or Retries(), self.clock)

    def infer(self, name: str, payloads: Mapping[str, Payload], key: str | None = None) -> Flow[Answer]:
        """Ask a pipeline, or its canary, and read the answer; the deadline holds for all of it, retries
        included."""
        pipeline = find(name)
        check_names(pipeline, payloads)
        check_key(key)
        deadline = self.clock() + self.timeout_s
        tensors = yield Work(partial(pipeline.tensors, payloads))
        if (yield from self._population(name, key, tensors)) == "canary":
            try:
                return (yield from self._ask_one(pipeline, "canary", tensors, deadline))
            except UnknownPipeline:  # never loaded, or it went live meanwhile: no fault of this request
                self._parameters.pop(canary_of(name), None)  # next time a small call finds out, not a weld
        return (yield from self._ask_one(pipeline, "live", tensors, deadline))

    def status(self) -> Flow[ServerStatus]:
        """What the server says about itself, now: nothing is retried, and a server that is down is an
        answer."""
        live = yield from self._peek("ServerLive", service_pb2.ServerLiveRequest())
        if not live:
            return ServerStatus(self.url, False, False, "", dict.fromkeys(PIPELINES, False))
        ready = yield from self._peek("ServerReady", service_pb2.ServerReadyRequest())
        metadata = yield from self._peek("ServerMetadata", service_pb2.ServerMetadataRequest())
        pipelines = {}
        for name in (yield from self._offered()):
            served = yield from self._peek("ModelReady", service_pb2.ModelReadyRequest(name=name))
            pipelines[name] = bool(served and served.ready)
        version = metadata.version if metadata else ""
        return ServerStatus(self.url, bool(live.live), bool(ready and ready.ready), version, pipelines)

    def _offered(self) -> Flow[list[str]]:
        """Our pipelines that the server was told to load, whatever came of it; all where it cannot say.

        A model that only lies in its repository has no state in the index.
        """
        index = yield from self._peek("RepositoryIndex", service_pb2.RepositoryIndexRequest())
        loaded = {model.name for model in index.models if model.state} if index else set()
        return [name for name in PIPELINES if name in loaded] or list(PIPELINES)

    def _population(self, name: str, key: str | None, tensors: Sequence[InputTensor]) -> Flow[Population]:
        if not 0.0 < self.canary < 1.0:
            return "canary" if self.canary else "live"
        chosen = key or (yield Work(partial(payload_key, tensors)))
        return population(name, chosen, self.canary)

    def _ask_one(
        self, pipeline: Pipeline, who: Population, tensors: Sequence[InputTensor], deadline: float
    ) -> Flow[Answer]:
        """Ask the live pipeline or its canary. raises: UnknownPipeline at once when there is no canary."""
        name = pipeline.name if who == "live" else canary_of(pipeline.name)
        request = infer_request(name, tensors)
        parameters = self._parameters.get(name) or (yield from self._read_parameters(name, deadline))
        response = yield from self._ask("ModelInfer", request, deadline, name)
        outputs = read_outputs(name, response)
        sent = {tensor.name: tensor.shape[1] for tensor in tensors}
        answer = pipeline.read(Reading(name, outputs, response.model_version, parameters, sent, who))
        return pipeline.judge(answer, self.strict)

    def _read_parameters(self, name: str, deadline: float) -> Flow[Mapping[str, str]]:
        request = service_pb2.ModelConfigRequest(name=name)
        response = yield from self._ask("ModelConfig", request, deadline, name)
        found = {key: value.string_value for key, value in response.config.parameters.items()}
        self._parameters[name] = found
        return found

    def _ask(self, method: str, request: Any, deadline: float, name: str) -> Flow[Any]:
        """Send until answered, refused for good, or out of time."""
        subject = f"{name} at {self.url}"
        for attempt in count(1):
            wait_s = max(0.0, deadline - self.clock())
            if method == "ModelInfer":
                set_timeout(request, wait_s)
            outcome: Outcome = yield Send(method, request, wait_s)
            if isinstance(outcome, Reply):
                self._pace.give_back()
                return outcome.message
            if isinstance(outcome, Silence):
                raise Timeout(
                    f"{subject}: expected an answer within {self.timeout_s:g} s, got none; the request was "
                    "left to finish there; raise timeout_s or lighten the server's load"
                )
            if not self._may_retry(outcome, name):
                raise error_for(outcome.code, outcome.detail, subject)
            yield Pause(self._pause_s(outcome, attempt, deadline, subject))
        raise AssertionError("count() never ends")

    def _may_retry(self, refusal: Refusal, name: str) -> bool:
        """Inference changes nothing on the server, so whatever a restart can cause may be sent again.

        A pipeline that has answered this client and is now NOT_FOUND belongs to a server that is still
        loading it; a canary that is NOT_FOUND has ended, which is ordinary.
        """
        served = name in self._parameters and name in PIPELINES
        loading = refusal.code is grpc.StatusCode.NOT_FOUND and served
        return self.retries is not None and (refusal.code in RETRYABLE or loading)

    def _pause_s(self, refusal: Refusal, attempt: int, deadline: float, subject: str) -> float:
        retries = self.retries or Retries()
        pause_s = max(retries.backoff_s(attempt, random.random()), self._pace.reserve())
        if pause_s < deadline - self.clock():
            return pause_s
        self._pace.give_back()
        said = refusal.detail.strip().rstrip(".") or "no details given"
        raise self._gave_up(refusal, f"{attempt} attempts in {self.timeout_s:g} s, the last: {said}", subject)

    def _gave_up(self, refusal: Refusal, story: str, subject: str) -> CrossfuseError:
        if refusal.code in RETRYABLE:
            return ServerUnavailable(
                f"{subject}: expected an answer, got {refusal.code.name} ({story}); start the server "
                "(`crossfuse status` shows its state), send less at once, or raise timeout_s",
                refusal.code,
            )
        return error_for(refusal.code, story, subject)

    def _peek(self, method: str, request: Any) -> Flow[Any]:
        """One call, once.

        returns: the reply, or None when the server does not answer, or knows no such model.
        """
        outcome: Outcome = yield Send(method, request, self.timeout_s)
        if isinstance(outcome, Reply):
            return outcome.message
        if (
            isinstance(outcome, Silence)
            or outcome.code in RETRYABLE
            or outcome.code is grpc.StatusCode.NOT_FOUND
        ):
            return None
        raise error_for(outcome.code, outcome.detail, f"{method} at {self.url}")
