"""The client for asyncio."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Literal, overload

from ._client import CLOSE_WAIT_S, CLOSED
from ._conversation import Conversation, Flow, Pause, Send, Step, T, Work
from ._payloads import Payload
from ._quality import VideoQuality
from ._results import Answer, ServerStatus, WeldInspection
from ._retries import Retries
from ._transports import TLS, AsyncGrpcTransport, AsyncTransport
from ._vision_language import VisionLanguage
from ._visual_answer import VisualAnswer


class AsyncClient:
    """What `Client` is, for one event loop; files are read in a thread, so the loop never waits for a disk.

    async with AsyncClient("127.0.0.1:8001") as client:
        weld = await client.infer("weld_inspection", audio="weld.flac")
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 60.0,
        retries: Retries | None = Retries(),  # noqa: B008 - frozen, so sharing it is safe
        tls: TLS | None = None,
        strict: bool = False,
        canary: float = 0.0,
        transport: AsyncTransport | None = None,
    ) -> None:
        self._conversation = Conversation(url, timeout_s, retries, strict, canary)
        self._transport: AsyncTransport = AsyncGrpcTransport(url, tls) if transport is None else transport
        self._closed = False

    @overload
    async def infer(
        self, pipeline: Literal["weld_inspection"], *, key: str | None = None, **payloads: Payload
    ) -> WeldInspection: ...

    @overload
    async def infer(
        self, pipeline: Literal["video_quality"], *, key: str | None = None, **payloads: Payload
    ) -> VideoQuality: ...

    @overload
    async def infer(
        self, pipeline: Literal["vision_language"], *, key: str | None = None, **payloads: Payload
    ) -> VisionLanguage: ...

    @overload
    async def infer(
        self, pipeline: Literal["visual_question_answering"], *, key: str | None = None, **payloads: Payload
    ) -> VisualAnswer: ...

    @overload
    async def infer(self, pipeline: str, *, key: str | None = None, **payloads: Payload) -> Answer: ...

    async def infer(self, pipeline: str, *, key: str | None = None, **payloads: Payload) -> Answer:
        """See `Client.infer`. Cancelling it stops the waiting, never the request on the server."""
        return await self._run(self._conversation.infer(pipeline, payloads, key))

    async def status(self) -> ServerStatus:
        """See `Client.status`."""
        return await self._run(self._conversation.status())

    async def close(self, wait_s: float = CLOSE_WAIT_S) -> bool:
        """See `Client.close`."""
        self._closed = True
        return await self._transport.close(wait_s)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, flow: Flow[T]) -> T:
        came: Any = None
        while True:
            try:
                step = flow.send(came)
            except StopIteration as stop:
                result: T = stop.value
                return result
            came = await self._perform(step)

    async def _perform(self, step: Step) -> Any:
        if self._closed:
            raise RuntimeError(CLOSED)
        if isinstance(step, Send):
            return await self._transport.send(step)
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        assert isinstance(step, Work)
        return await asyncio.to_thread(step.function)
