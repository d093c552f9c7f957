"""Open-loop load: every request leaves when it is due, however the server fares.

When a request is due is fixed beforehand, by a seeded Poisson process, and its latency counts from that
moment on: a server that stalls cannot hide the queue that it causes (coordinated omission), and neither can a
generator that is late, whose lag is part of the record. The generator is a process of its own, its messages
are serialized before the first one leaves, and answers are read after the last one came.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import multiprocessing
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Protocol

import grpc
import numpy as np
from crossfuse import PIPELINES, canary_of, population
from crossfuse._payloads import infer_request
from numpy.typing import NDArray

from benchmarks.arrivals import Schedule as Schedule
from benchmarks.arrivals import poisson as poisson
from benchmarks.recording import Recording, read_answer

METHOD = "/inference.GRPCInferenceService/ModelInfer"
OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
OWN_CONNECTION = ("grpc.use_local_subchannel_pool", 1)  # and its own back-off, in a process with others
SPIN_S = 0.002  # asyncio rounds a sleep up to whole milliseconds; the last two are spent looking at the clock
PATIENCE_S = 30.0  # after the last request was due; what has not come by then never will
START_S = 60.0  # for the process to start and to import gRPC on a busy machine
CONNECT_S = 10.0  # for a server that runs to be reached


@dataclass(frozen=True)
class Limit:
    """When a run has failed for certain: more than `misses` requests had an error or took longer."""

    latency_s: float
    misses: int


Call = Callable[[bytes], Awaitable[bytes]]


class Refused(Exception):
    """A server that is not asked over gRPC refused; code: the name of the gRPC status that means the same."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail = code, detail


class Transport(Protocol):
    """How messages leave and what their answers say; it travels into the generator process."""

    def calls(self, url: str, connect_s: float) -> AbstractAsyncContextManager[Call]:
        """A function from message to reply, connected.

        It raises `Refused` or a gRPC error; entering raises TimeoutError when no server is reached.
        """
        ...

    def read(self, reply: bytes, outputs: Sequence[str]) -> NDArray[np.float32]:
        """Some tensors of a reply, flattened and joined; ValueError when it lacks one of them."""
        ...


class GrpcTransport:
    """Triton's: one channel, serialized messages both ways."""

    @contextlib.asynccontextmanager
    async def calls(self, url: str, connect_s: float) -> AsyncIterator[Call]:
        """See `Transport`."""
        async with grpc.aio.insecure_channel(url, options=OPTIONS) as channel:
            await asyncio.wait_for(channel.channel_ready(), connect_s)
            yield channel.unary_unary(METHOD)

    def read(self, reply: bytes, outputs: Sequence[str]) -> NDArray[np.float32]:
        """See `Transport`."""
        return read_answer(reply, outputs)


GRPC = GrpcTransport()


@dataclass(frozen=True)
class Load:
    """All that the generator needs to know.

    messages:  population -> serialized request of each item
    is_canary: (requests,) bool, of the schedule's requests
    outputs:   tensors whose values are kept of every answer, joined in this order
    limit:     where sending ends early; what has not left by then is not in the recording
    transport: how messages travel
    """

    url: str
    schedule: Schedule
    messages: Mapping[str, Sequence[bytes]]
    is_canary: NDArray[np.bool_]
    outputs: tuple[str, ...]
    limit: Limit | None = None
    transport: Transport = GRPC


def load(
    url: str,
    schedule: Schedule,
    payloads: Sequence[Mapping[str, Any]],
    outputs: Sequence[str],
    pipeline: str = "weld_inspection",
    canary: float = 0.0,
) -> Load:
    """A load from payloads as `Client.infer` takes them.

    canary: share of the requests that go to the pipeline's canary; the key of a request is
    `request-<number>`, so equal schedules meet equal populations. A canary that is not there is an error.
    """
    chosen = [population(pipeline, f"request-{number}", canary) for number in range(len(schedule))]
    tensors = [PIPELINES[pipeline].tensors(each) for each in payloads]
    names = {"live": pipeline, "canary": canary_of(pipeline)}
    messages = {
        who: [infer_request(name, each).SerializeToString() for each in tensors]
        for who, name in names.items()
    }
    return Load(url, schedule, messages, np.array(chosen) == "canary", tuple(outputs))


class Traffic:
    """A generator process: entered when it is connected, begun by `begin`, ended by its schedule.

    with Traffic(load) as traffic:
        began = traffic.begin()          # time.monotonic() of second 0 of the schedule
        ...
        recording = traffic.finish()
        traffic.processor_s              # what the generator itself took of the machine

    raises: RuntimeError, on entering, when no server is reached within `connect_s`
    """

    def __init__(self, load: Load, connect_s: float = CONNECT_S) -> None:
        self._load = load
        self._connect_s = connect_s
        spawn = multiprocessing.get_context("spawn")  # a fork would inherit gRPC's threads and break
        self._ours, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_generate, args=(load, connect_s, theirs), daemon=True)
        self._theirs = theirs
        self.processor_s = float("nan")

    def __enter__(self) -> Traffic:
        self._process.start()
        self._theirs.close()  # so that its death is the end of the file here
        try:
            self._receive("its connection", START_S + self._connect_s)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def begin(self, in_s: float = 0.1) -> float:
        """Let second 0 of the schedule be in `in_s` seconds; returns it as time.monotonic()."""
        began = time.monotonic() + in_s
        self._ours.send(began)
        return began

    def finish(self) -> Recording:
        """Wait for the last answer. raises: RuntimeError when the generator died."""
        wait_s = self._load.schedule.duration_s + 2 * PATIENCE_S
        recording: Recording
        recording, self.processor_s = self._receive("its recording", wait_s)
        self._process.join()
        return recording

    def _receive(self, what: str, wait_s: float) -> Any:
        came: Any = None
        if self._ours.poll(wait_s):
            try:
                came = self._ours.recv()
            except EOFError:
                came = None
        if came is None or isinstance(came, str):
            raise RuntimeError(
                f"load generator: expected {what} within {wait_s:.0f} s, got {came or 'its end'}; "
                f"is a server at {self._load.url}?"
            )
        return came

    def _end(self) -> None:
        self._ours.close()
        if self._process.is_alive():
            self._process.terminate()
        self._process.join()


def ask(url: str, messages: Sequence[bytes], outputs: Sequence[str]) -> NDArray[np.float32]:
    """Send messages one after the other, for what they say and not for how long it takes.

    returns: (messages, values); raises: RuntimeError with the server's sentence
    """
    with grpc.insecure_channel(url, options=(*OPTIONS, OWN_CONNECTION)) as channel:
        call = channel.unary_unary(METHOD)
        try:
            return np.stack([read_answer(call(message), outputs) for message in messages])
        except grpc.RpcError as error:
            raise RuntimeError(
                f"server {url}: expected answers, got {error.code().name}: {error.details()}"
            ) from error


def replay(load: Load) -> Recording:
    """Carry a load out and wait for its end."""
    with Traffic(load) as traffic:
        traffic.begin()
        return traffic.finish()


@dataclass
class _Sent:
    """What came of one request, in time.monotonic() seconds."""

    left_s: float = np.nan
    came_s: float = np.nan
    reply: bytes = b""
    code: str = "UNANSWERED"
    detail: str = ""


def _generate(load: Load, connect_s: float, parent: Connection) -> None:
    """The generator process."""
    with contextlib.suppress(PermissionError):
        # It stands in for clients on other machines and must not wait behind the server's threads: with both
        # cores busy a sleeper wakes 0.1 ms late (p99) in real time, 8 ms at normal and 12 ms at nice -10.
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        parent.send(asyncio.run(_drive(load, connect_s, parent)))
    except (EOFError, BrokenPipeError):  # whoever asked for it is gone
        return


async def _drive(load: Load, connect_s: float, parent: Connection) -> tuple[Recording, float] | str:
    try:
        async with load.transport.calls(load.url, connect_s) as call:
            parent.send(True)
            began = parent.recv()
            gc.collect()
            gc.disable()  # a collection would be a pause in the middle of the measurement
            before_s = time.process_time()
            sent = await _send_all(load, call, began)
            processor_s = time.process_time() - before_s
    except TimeoutError:
        return "no connection"
    return _recording(load, sent, began), processor_s


async def _send_all(load: Load, call: Call, began: float) -> list[_Sent]:
    sent: list[_Sent] = []
    due_s, items = load.schedule.due_s.tolist(), load.schedule.item.tolist()
    tasks = []
    missed: list[_Sent] = []
    for number, due in enumerate(due_s):
        messages = load.messages["canary" if load.is_canary[number] else "live"]
        await _until(began + due)
        if load.limit and len(missed) > load.limit.misses:
            break
        sent.append(_Sent())
        tasks.append(asyncio.create_task(_send(call, messages[items[number]], sent[-1])))
        if load.limit:
            tasks[-1].add_done_callback(_counting(sent[-1], began + due + load.limit.latency_s, missed))
    if tasks:
        await asyncio.wait(tasks, timeout=PATIENCE_S)
    return sent


def _counting(one: _Sent, until_s: float, missed: list[_Sent]) -> Callable[[asyncio.Task[None]], None]:
    def note(_: asyncio.Task[None]) -> None:
        if one.code or one.came_s > until_s:
            missed.append(one)

    return note


async def _until(moment: float) -> None:
    while (left_s := moment - time.monotonic()) > 0:
        await asyncio.sleep(left_s - SPIN_S if left_s > SPIN_S else 0)


async def _send(call: Call, message: bytes, one: _Sent) -> None:
    one.left_s = time.monotonic()
    try:
        one.reply = await call(message)
        one.code = ""
    except grpc.aio.AioRpcError as error:
        one.code, one.detail = error.code().name, error.details() or ""
    except Refused as error:
        one.code, one.detail = error.code, error.detail
    one.came_s = time.monotonic()


def _answer(one: _Sent, load: Load) -> NDArray[np.float32] | None:
    """What an answer says; one that lacks an output becomes an error of its request."""
    if one.code:
        return None
    try:
        return load.transport.read(one.reply, load.outputs)
    except ValueError as error:
        one.code, one.detail = "INCOMPLETE", str(error)
        return None


def _recording(load: Load, sent: Sequence[_Sent], began: float) -> Recording:
    count = len(sent)
    due_s = load.schedule.due_s[:count]
    read = [_answer(one, load) for one in sent]
    width = next((len(values) for values in read if values is not None), 0)
    missing = np.full(width, np.nan, np.float32)
    return Recording(
        due_s=due_s,
        lag_s=np.array([one.left_s for one in sent]) - began - due_s,
        latency_s=np.array([one.came_s for one in sent]) - began - due_s,
        item=load.schedule.item[:count],
        is_canary=load.is_canary[:count],
        code=np.array([one.code for one in sent], dtype=str),
        detail=np.array([one.detail for one in sent], dtype=str),
        answers=np.stack([missing if values is None else values for values in read])
        if read
        else np.zeros((0, 0), np.float32),
    )
