"""Users for locust that speak our gRPC client: mixed modalities, a class per pipeline, load shapes.

    make load                                           # locust's page, on a server of ours
    locust -f benchmarks/locustfile.py --host 127.0.0.1:8001 --class-picker
    locust -f ... --headless --shape spike --users 40 --run-time 2m Welds Pairs
    locust -f ... --processes 2                         # as many workers and a master
    locust -f ... --worker --master-host NAME           # a worker elsewhere

A row of the statistics is a pipeline and the modalities that were sent, and those that arrived damaged get
rows of their own. A response time is what the caller of `Client.infer` waits; sizes are those of answers. The
load is closed: a user waits for its answer, so a slow server is asked less often. What a server can do within
an SLO is what `python -m benchmarks goodput` finds.
"""

from __future__ import annotations

import functools
import itertools
import json
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from locust import LoadTestShape, User, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import WorkerRunner

# isort: split
# after locust, which replaces the sockets and threads of the standard library
from crossfuse import Answer, Client, CrossfuseError, Status
from crossfuse._conversation import Outcome, Reply, Send
from crossfuse._transports import GrpcTransport, Transport
from grpc.experimental.gevent import init_gevent

from benchmarks.load import samples, shapes

WELDS = Path("build/benchmarks/runs-7")
TIMEOUT_S = 30.0
LEAST_STOP_S = 30  # a user that is stopped may finish: a request that is killed is answered but not counted


@events.init_command_line_parser.add_listener
def _add_options(parser: LocustArgumentParser) -> None:
    parser.add_argument("--think-s", type=float, default=1.0, help="mean pause of a user in seconds; 0: none")
    parser.add_argument("--complete", action="store_true", help="send every modality always")
    parser.add_argument("--seed", type=int, default=7, help="of what is sent and of pauses")
    parser.add_argument(
        "--welds", default=str(WELDS), help="folder of weld runs to send", include_in_web_ui=False
    )
    parser.add_argument(
        "--shape",
        choices=("plain", *shapes.SHAPES),
        default="plain",
        help="users over time, headless; on the page it is chosen beside the users",
        include_in_web_ui=False,
    )
    parser.add_argument("--statistics", help="a file to write at the end (JSON)", include_in_web_ui=False)
    parser.set_defaults(stop_timeout=LEAST_STOP_S)


@events.init.add_listener
def _prepare(environment: Environment, **_: Any) -> None:
    """Once per process, after locust has forked its workers: gRPC's threads would not survive that."""
    init_gevent()
    if named := _options(environment).user_classes:  # what is not served is not offered on the page either
        offered = environment.available_user_classes or {}
        environment.available_user_classes = {name: offered[name] for name in offered if name in named}
    chosen = _options(environment).shape
    shape = next((one for one in SHAPE_CLASSES if one.__name__.lower() == chosen), None)
    environment.shape_class = shape() if shape else None
    if environment.shape_class:
        environment.shape_class.runner = environment.runner
    if _options(environment).statistics and not isinstance(environment.runner, WorkerRunner):
        environment.events.quit.add_listener(functools.partial(_write_statistics, environment))


def _write_statistics(environment: Environment, **_: Any) -> None:
    """What locust counted, and why requests failed, in the client's own sentences.

    Locust's own tables of failures are written once a second, not at the end: a last one would be missing.
    """
    counted = environment.stats
    failures = [
        {"sent": one.name, "sentence": one.parse_error(one.error), "count": one.occurrences}
        for one in counted.errors.values()
    ]
    found = {"entries": counted.serialize_stats(), "failures": failures}
    Path(_options(environment).statistics).write_text(json.dumps(found), encoding="utf-8")


def _options(environment: Environment | None) -> Any:
    assert environment is not None and environment.parsed_options is not None
    return environment.parsed_options


class Weighing:
    """A transport that remembers how large the last answer to each user was."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self._last = threading.local()  # of a greenlet, since locust has patched it

    def send(self, step: Send) -> Outcome:
        """See Transport."""
        outcome = self._inner.send(step)
        self._last.size = outcome.message.ByteSize() if isinstance(outcome, Reply) else 0
        return outcome

    def close(self, wait_s: float) -> bool:
        """See Transport."""
        return self._inner.close(wait_s)

    def last_bytes(self) -> int:
        """Size of what this user was last answered."""
        return getattr(self._last, "size", 0)


@functools.cache
def connection(url: str) -> tuple[Client, Weighing]:
    """One channel per process: each occupies a thread of gevent's pool while it waits."""
    transport = Weighing(GrpcTransport(url, None))
    return Client(url, timeout_s=TIMEOUT_S, retries=None, transport=transport), transport


_numbers = itertools.count()


class Asking(User):
    """A user that asks one pipeline, thinks, and asks again."""

    abstract = True
    host = "127.0.0.1:8001"
    pipeline = ""

    def on_start(self) -> None:
        """Take a connection and a seed of one's own."""
        options = _options(self.environment)
        worker = getattr(self.environment.runner, "worker_index", 0)
        name = f"{options.seed}-{worker}-{next(_numbers)}"
        self._think_s = float(options.think_s)
        self._pauses = random.Random(name)
        self._client, self._transport = connection(str(self.host))
        mixes = samples.complete_only(self.pipeline) if options.complete else samples.MIXES[self.pipeline]
        self._samples: Iterator[samples.Sample] = samples.draw(
            self.pipeline, mixes, Path(options.welds), name
        )

    def wait_time(self) -> float:
        """Seconds until the next request: exponential, so that users do not fall into step."""
        return self._pauses.expovariate(1.0 / self._think_s) if self._think_s > 0 else 0.0

    @task
    def ask(self) -> None:
        """One request, told to locust whatever comes of it."""
        sample = next(self._samples)
        answer: Answer | None = None
        failure: CrossfuseError | None = None
        started, began_s = time.time(), time.perf_counter()
        try:
            answer = self._client.infer(self.pipeline, **sample.payloads)
        except CrossfuseError as error:
            failure = error
        waited_ms = 1e3 * (time.perf_counter() - began_s)
        status = answer.status if answer else getattr(failure, "status", {})
        self.environment.events.request.fire(
            request_type=self.pipeline,
            name=row(sample.mix, status),
            response_time=waited_ms,
            response_length=self._transport.last_bytes() if answer else 0,
            response=answer,
            exception=failure,
            context={"status": {modality: state.name for modality, state in status.items()}},
            start_time=started,
            url=self.host,
        )


def row(mix: samples.Mix, status: dict[str, Status]) -> str:
    """The name under which a request is counted: what was sent, and what of it was not OK."""
    damaged = [
        f"{name} {status[name].name}" for name in mix if name in status and status[name] is not Status.OK
    ]
    return " + ".join(mix) + (f" ({', '.join(damaged)})" if damaged else "")


class Welds(Asking):
    """Inspects welds, four modalities or some."""

    pipeline = "weld_inspection"
    weight = 6


class Clips(Asking):
    """Asks for the quality of films."""

    pipeline = "video_quality"
    weight = 1


class Pairs(Asking):
    """Compares photos and texts."""

    pipeline = "vision_language"
    weight = 2


class Questions(Asking):
    """Asks about photos."""

    pipeline = "visual_question_answering"
    weight = 1


class Shape(LoadTestShape):
    """One of `shapes`, for as many users and as long as was asked for."""

    abstract = True
    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """Called by locust once a second."""
        assert self.runner is not None
        options = _options(self.runner.environment)
        plan = shapes.Plan(options.num_users or 1, float(options.run_time or shapes.DEFAULT_S))
        users = shapes.users_at(type(self).__name__.lower(), plan, self.get_run_time())
        return None if users is None else (users, float(plan.users))  # all of a step's users at once


class Ramp(Shape):
    """See shapes.ramp."""


class Spike(Shape):
    """See shapes.spike."""


class Steps(Shape):
    """See shapes.steps."""


SHAPE_CLASSES: tuple[type[Shape], ...] = (Ramp, Spike, Steps)
