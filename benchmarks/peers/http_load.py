"""How a peer is asked, for the same generator, schedule and recording as our own server.

An HTTP status is recorded as the gRPC code that means the same, so that one reader judges all servers
(https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto, "HTTP Mapping").
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import grpc
import numpy as np
from numpy.typing import NDArray

from benchmarks.arrivals import Schedule
from benchmarks.open_loop import Call, GrpcTransport, Load, Refused, Transport
from benchmarks.peers.wire import FORM, files_of, form, infer_answer, infer_message, unpacked

CODES = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    413: "RESOURCE_EXHAUSTED",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
DETAIL_BYTES = 200


class FormTransport:
    """HTTP/1.1 with connections kept open, as many as there are requests in flight."""

    @asynccontextmanager
    async def calls(self, url: str, connect_s: float) -> AsyncIterator[Call]:
        """A function that posts one form. raises: TimeoutError when nobody listens at `url`"""
        host, _, port = url.rpartition(":")
        await _reached(host, int(port), connect_s)
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

            async def call(message: bytes) -> bytes:
                return await _post(session, f"http://{url}/predict", message)

            yield call

    def read(self, reply: bytes, outputs: Sequence[str]) -> NDArray[np.float32]:
        """Some tensors of an answer, flattened and joined; ValueError for what is none."""
        return _joined(reply, outputs)


class V2Transport(GrpcTransport):
    """The V2 protocol over gRPC, with a whole answer in one text."""

    def read(self, reply: bytes, outputs: Sequence[str]) -> NDArray[np.float32]:
        """Some tensors of an answer, flattened and joined; ValueError for what is none."""
        return _joined(infer_answer(reply), outputs)


TRANSPORTS: dict[str, Transport] = {"form": FormTransport(), "v2": V2Transport()}


def load(
    url: str,
    protocol: str,
    schedule: Schedule,
    payloads: Sequence[Mapping[str, Any]],
    outputs: Sequence[str],
) -> Load:
    """A load for a peer, from payloads as `Client.infer` takes them, files in memory.

    errors: LookupError for a protocol that no peer speaks
    """
    if protocol not in TRANSPORTS:
        raise LookupError(f"protocol: expected one of {', '.join(TRANSPORTS)}, got {protocol}")
    write = form if protocol == "form" else infer_message
    messages = [write(files_of(each)) for each in payloads]
    nobody = np.zeros(len(schedule), bool)
    return Load(url, schedule, {"live": messages}, nobody, tuple(outputs), transport=TRANSPORTS[protocol])


def first(asked: Load) -> Load:
    """The same load with its first message alone."""
    return replace(asked, messages={"live": asked.messages["live"][:1]})


def ask(asked: Load, patience_s: float = 20.0) -> NDArray[np.float32]:
    """Send every message of a load, one after the other, for what the answers say.

    returns: (messages, values); raises: RuntimeError with the server's sentence
    """
    return asyncio.run(_ask(asked, patience_s))


async def _ask(asked: Load, patience_s: float) -> NDArray[np.float32]:
    try:
        async with asked.transport.calls(asked.url, patience_s) as call:
            messages = asked.messages["live"]
            replies = [await asyncio.wait_for(call(message), patience_s) for message in messages]
        return np.stack([asked.transport.read(reply, asked.outputs) for reply in replies])
    except (Refused, grpc.RpcError, ValueError, TimeoutError) as error:
        said = f"{type(error).__name__} {error}"
        raise RuntimeError(f"server {asked.url}: expected answers, got {said}") from error


async def _post(session: aiohttp.ClientSession, url: str, message: bytes) -> bytes:
    try:
        async with session.post(url, data=message, headers={"Content-Type": FORM}) as response:
            body = await response.read()
    except aiohttp.ClientError as error:  # reset, refused, cut off
        raise Refused("UNAVAILABLE", f"{type(error).__name__}: {error}") from error
    if response.status != 200:
        text = body[:DETAIL_BYTES].decode(errors="replace")
        raise Refused(CODES.get(response.status, "UNKNOWN"), f"HTTP {response.status}: {text}")
    return body


async def _reached(host: str, port: int, connect_s: float) -> None:
    async with asyncio.timeout(connect_s):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            await writer.wait_closed()
            return


def _joined(answer: bytes, outputs: Sequence[str]) -> NDArray[np.float32]:
    found = unpacked(answer)
    if unknown := [name for name in outputs if name not in found]:
        raise ValueError(f"answer: expected the outputs {', '.join(unknown)}, got {', '.join(found)}")
    return np.concatenate([np.asarray(found[name], np.float32).ravel() for name in outputs])
