"""The blocking client."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Literal, overload

from ._conversation import Conversation, Pause, Send, Step, Work, run_blocking
from ._payloads import Payload
from ._quality import VideoQuality
from ._results import Answer, ServerStatus, WeldInspection
from ._retries import Retries
from ._transports import TLS, GrpcTransport, Transport
from ._vision_language import VisionLanguage
from ._visual_answer import VisualAnswer

CLOSE_WAIT_S = 10.0
CLOSED = "client: expected an open client, got a closed one; make a new Client for new requests"


class Client:
    """A connection to one server; one per process is enough, and threads may share it.

    url: host:port of the gRPC endpoint.  timeout_s: for a whole request, retries included.
    retries: None sends everything once.  tls: None speaks plain text.
    strict: raise DegradedModality unless every modality sent is OK.
    canary: share of the requests, 0 to 1, that a release on trial answers; see `crossfuse.population`.
    transport: stands in for the network in tests.

    with Client("127.0.0.1:8001") as client:
        weld = client.infer("weld_inspection", video="weld.avi", image=["a.jpg", "b.jpg"])
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
        transport: Transport | None = None,
    ) -> None:
        self._conversation = Conversation(url, timeout_s, retries, strict, canary)
        self._transport: Transport = GrpcTransport(url, tls) if transport is None else transport
        self._closed = False

    @overload
    def infer(
        self, pipeline: Literal["weld_inspection"], *, key: str | None = None, **payloads: Payload
    ) -> WeldInspection: ...

    @overload
    def infer(
        self, pipeline: Literal["video_quality"], *, key: str | None = None, **payloads: Payload
    ) -> VideoQuality: ...

    @overload
    def infer(
        self, pipeline: Literal["vision_language"], *, key: str | None = None, **payloads: Payload
    ) -> VisionLanguage: ...

    @overload
    def infer(
        self, pipeline: Literal["visual_question_answering"], *, key: str | None = None, **payloads: Payload
    ) -> VisualAnswer: ...

    @overload
    def infer(self, pipeline: str, *, key: str | None = None, **payloads: Payload) -> Answer: ...

    def infer(self, pipeline: str, *, key: str | None = None, **payloads: Payload) -> Answer:
        """Send one sample's recordings and return what the pipeline says about them.

        weld_inspection takes video, audio and sensor (a path or the file's bytes each; sensor also as an
        array of shape (rows, 6)) and image (a list of up to five photos). What is left out is absent.
        video_quality takes video. vision_language takes image, text or both; visual_question_answering takes
        image and question: one image, and the words themselves. An image may also be an array of uint8 of
        shape (height, width, 3).

        key: with a canary share, equal keys (a weld's id, say) always meet the same release; default: a
        digest of what is sent. Whatever the share, the live pipeline answers where there is no canary.

        raises: InvalidInput, UnknownPipeline, ServerUnavailable, Timeout, ServerFault, NoUsableModality, and
        with strict DegradedModality; RuntimeError when the client is closed
        """
        return run_blocking(self._conversation.infer(pipeline, payloads, key), self._perform)

    def status(self) -> ServerStatus:
        """What the server says about itself, asked once; a server that is down is an answer, not an error."""
        return run_blocking(self._conversation.status(), self._perform)

    def close(self, wait_s: float = CLOSE_WAIT_S) -> bool:
        """Wait up to `wait_s` for calls that timed out here but run on there, then hang up.

        returns: whether every call was answered
        """
        self._closed = True
        return self._transport.close(wait_s)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _perform(self, step: Step) -> Any:
        if self._closed:
            raise RuntimeError(CLOSED)
        if isinstance(step, Send):
            return self._transport.send(step)
        if isinstance(step, Pause):
            return time.sleep(step.seconds)
        assert isinstance(step, Work)
        return step.function()
