"""How a call travels: one gRPC channel per client, and no call that was sent is ever cancelled.

Triton 2.51 can crash when a gRPC deadline fires or a client cancels, so calls carry no deadline. Waiting
ends, the call does not: it stays referenced (a gRPC future cancels itself when it is collected) until the
server has answered it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import grpc
from tritonclient.grpc import service_pb2_grpc

from ._conversation import Outcome, Refusal, Reply, Send, Silence
from ._payloads import MESSAGE_LIMIT_BYTES

CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", MESSAGE_LIMIT_BYTES),  # gRPC's own default is 4 MiB, less than one video
    ("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 2_000),  # how long one attempt to connect may take
    (
        "grpc.max_reconnect_backoff_ms",
        1_000,
    ),  # a restarted server is found within a second; the default is two minutes
    ("grpc.keepalive_time_ms", 300_000),  # more often than the server's 300 s minimum is answered by GOAWAY
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 2),
    ("grpc.use_local_subchannel_pool", 1),  # two clients of one process share neither connection nor back-off
    ("grpc.enable_retries", 0),  # retries are decided in one place, which is not gRPC
)


@dataclass(frozen=True)
class TLS:
    """Files in PEM form. Without `root_certificates` gRPC's own roots are trusted; key and chain are for
    mutual TLS."""

    root_certificates: Path | str | None = None
    private_key: Path | str | None = None
    certificate_chain: Path | str | None = None

    def __post_init__(self) -> None:
        if (self.private_key is None) != (self.certificate_chain is None):
            raise ValueError(
                "tls: expected private_key and certificate_chain together, got one; pass both or neither"
            )

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files. raises: OSError if one cannot be read."""
        files = (self.root_certificates, self.private_key, self.certificate_chain)
        return grpc.ssl_channel_credentials(
            *(None if file is None else Path(file).read_bytes() for file in files)
        )


class Transport(Protocol):
    """What a `Client` needs of the world; pass another one to `Client(url, transport=...)` in tests."""

    def send(self, step: Send) -> Outcome:
        """Make one call and wait for `step.wait_s` at most, without ever cancelling it."""

    def close(self, wait_s: float) -> bool:
        """Wait for unanswered calls, then hang up. returns: whether every call was answered."""


class AsyncTransport(Protocol):
    """What an `AsyncClient` needs of the world."""

    async def send(self, step: Send) -> Outcome:
        """Make one call and wait for `step.wait_s` at most, without ever cancelling it."""

    async def close(self, wait_s: float) -> bool:
        """Wait for unanswered calls, then hang up. returns: whether every call was answered."""


def refusal(error: Any) -> Refusal:
    """A gRPC error as a value."""
    return Refusal(error.code(), error.details() or "")


_LEFT_BEHIND: set[Any] = set()  # channels of closed clients that the server still owes an answer


class GrpcTransport:
    """One channel, shared by the threads of a process; create it after forking."""

    def __init__(self, url: str, tls: TLS | None) -> None:
        if tls is None:
            self._channel = grpc.insecure_channel(url, options=CHANNEL_OPTIONS)
        else:
            self._channel = grpc.secure_channel(url, tls.credentials(), options=CHANNEL_OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._unanswered: set[Any] = set()
        self._lock = threading.Lock()

    def send(self, step: Send) -> Outcome:
        """See Transport."""
        call = getattr(self._stub, step.method).future(step.request)
        with self._lock:
            self._unanswered.add(call)
        call.add_done_callback(self._answered)
        try:
            return Reply(call.result(timeout=step.wait_s))
        except grpc.FutureTimeoutError:
            return Silence()
        except grpc.FutureCancelledError:
            return Refusal(grpc.StatusCode.CANCELLED, "the call was cancelled on its way")
        except grpc.RpcError as error:
            return refusal(error)

    def close(self, wait_s: float) -> bool:
        """See Transport. A call still unanswered keeps the channel open behind our back until its answer
        comes."""
        until = time.monotonic() + wait_s
        for call in self._waiting():
            with contextlib.suppress(grpc.RpcError, grpc.FutureTimeoutError, grpc.FutureCancelledError):
                call.result(timeout=max(0.0, until - time.monotonic()))
        left = self._waiting()
        if not left:
            self._channel.close()
            return True
        _LEFT_BEHIND.add(self)
        for call in left:
            call.add_done_callback(self._hang_up_after_last)
        return False

    def _waiting(self) -> list[Any]:
        with self._lock:
            return [call for call in self._unanswered if not call.done()]

    def _answered(self, call: Any) -> None:
        with self._lock:
            self._unanswered.discard(call)

    def _hang_up_after_last(self, _: Any) -> None:
        if not self._waiting() and self in _LEFT_BEHIND:
            _LEFT_BEHIND.discard(self)
            self._channel.close()


class AsyncGrpcTransport:
    """One channel of one event loop, opened by the first call."""

    def __init__(self, url: str, tls: TLS | None) -> None:
        self._url = url
        self._credentials = None if tls is None else tls.credentials()
        self._channel: grpc.aio.Channel | None = None
        self._stub: Any = None
        self._unanswered: set[asyncio.Task[Outcome]] = set()

    async def send(self, step: Send) -> Outcome:
        """See AsyncTransport. Cancelling the caller leaves the call alone: only its task holds it."""
        if self._stub is None:
            self._open()
        task = asyncio.ensure_future(self._finish(step))
        self._unanswered.add(task)
        task.add_done_callback(self._unanswered.discard)
        await asyncio.wait({task}, timeout=step.wait_s)
        return task.result() if task.done() else Silence()

    async def close(self, wait_s: float) -> bool:
        """See AsyncTransport. The loop's end cancels what is still unanswered after `wait_s`."""
        if self._unanswered:
            await asyncio.wait(set(self._unanswered), timeout=wait_s)
        if self._unanswered:
            return False  # closing now would cancel; the channel goes with its last call
        if self._channel is not None:
            await self._channel.close()
        return True

    def _open(self) -> None:
        if self._credentials is None:
            self._channel = grpc.aio.insecure_channel(self._url, options=CHANNEL_OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(self._url, self._credentials, options=CHANNEL_OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    async def _finish(self, step: Send) -> Outcome:
        try:
            return Reply(await getattr(self._stub, step.method)(step.request))
        except grpc.RpcError as error:
            return refusal(error)
