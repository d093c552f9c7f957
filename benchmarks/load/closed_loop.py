"""Closed-loop load: so many callers, each of whom sends its next request when its last was answered.

For comparison with tools that know no other load; it says nothing about a queue (see `open_loop`).
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence

import grpc
import numpy as np

from benchmarks.open_loop import METHOD, OPTIONS
from benchmarks.recording import Recording, read_answer


def run(
    url: str, messages: Sequence[bytes], callers: int, duration_s: float, outputs: Sequence[str]
) -> Recording:
    """Send serialized requests in turn for so long; the last of each caller is waited for.

    raises: ValueError for nothing to send, no callers or no time
    """
    if not messages or callers < 1 or duration_s <= 0:
        raise ValueError(
            f"closed loop: expected messages, callers and seconds above zero, got {len(messages)}, {callers} "
            f"and {duration_s}"
        )
    return asyncio.run(_run(url, messages, callers, duration_s, outputs))


async def _run(
    url: str, messages: Sequence[bytes], callers: int, duration_s: float, outputs: Sequence[str]
) -> Recording:
    rows: list[tuple[float, float, int, str, str, bytes]] = []
    items = itertools.cycle(range(len(messages)))
    async with grpc.aio.insecure_channel(url, options=OPTIONS) as channel:
        call = channel.unary_unary(METHOD)
        began_s = time.monotonic()

        async def caller() -> None:
            while (left_s := time.monotonic()) < began_s + duration_s:
                item, code, detail, reply = next(items), "", "", b""
                try:
                    reply = await call(messages[item])
                except grpc.aio.AioRpcError as error:
                    code, detail = error.code().name, error.details() or ""
                rows.append((left_s - began_s, time.monotonic() - left_s, item, code, detail, reply))

        await asyncio.gather(*(caller() for _ in range(callers)))
    rows.sort(key=lambda one: one[0])
    return _recording(rows, outputs)


def _recording(
    rows: Sequence[tuple[float, float, int, str, str, bytes]], outputs: Sequence[str]
) -> Recording:
    due_s, latency_s, item, code, detail, replies = zip(*rows, strict=True)
    read = [
        read_answer(reply, outputs) if not failed else None
        for reply, failed in zip(replies, code, strict=True)
    ]
    width = next((len(values) for values in read if values is not None), 0)
    missing = np.full(width, np.nan, np.float32)
    return Recording(
        due_s=np.array(due_s),
        lag_s=np.zeros(len(rows)),
        latency_s=np.array(latency_s),
        item=np.array(item),
        is_canary=np.zeros(len(rows), np.bool_),
        code=np.array(code, dtype=str),
        detail=np.array(detail, dtype=str),
        answers=np.stack([missing if values is None else values for values in read]),
    )
