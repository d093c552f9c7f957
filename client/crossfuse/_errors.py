"""Everything that can go wrong, decided by gRPC status code and never by message text.

CrossfuseError
├── InvalidInput          INVALID_ARGUMENT, or a payload that cannot be sent at all
│   └── PayloadTooLarge   RESOURCE_EXHAUSTED: one message is larger than the server takes
├── UnknownPipeline       NOT_FOUND
├── AccessDenied          UNAUTHENTICATED, PERMISSION_DENIED
├── ServerUnavailable     UNAVAILABLE or CANCELLED after the retries: down, restarting, or its queue is full
├── Timeout               no answer within timeout_s; DEADLINE_EXCEEDED from something in between
├── ServerFault           every other code, and answers that break the pipeline's contract
└── ModalityError         an answer came, but
    ├── NoUsableModality  not one modality that was sent could be used, or one that every answer needs
    └── DegradedModality  strict=True: a modality that was sent is not OK
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from ._results import Answer, Status


class CrossfuseError(Exception):
    """Root of the tree; `code` is the gRPC status code that decided the class, None if none did."""

    def __init__(self, sentence: str, code: grpc.StatusCode | None = None) -> None:
        super().__init__(sentence)
        self.code = code


class InvalidInput(CrossfuseError):
    """The request itself is wrong; sending it again cannot help."""


class PayloadTooLarge(InvalidInput):
    """One message is larger than the server accepts."""


class UnknownPipeline(CrossfuseError):
    """The server, or this client, knows no pipeline of that name."""


class AccessDenied(CrossfuseError):
    """The server refuses this client's credentials."""


class ServerUnavailable(CrossfuseError):
    """The server could not be reached, or had no room, for as long as the client was allowed to try."""


class Timeout(CrossfuseError):
    """No answer within `timeout_s`; the request was left to finish on the server."""


class ServerFault(CrossfuseError):
    """The server failed, or answered something that the pipeline's contract does not allow."""


class ModalityError(CrossfuseError):
    """An answer came, but not from all that was sent; `answer` holds what did come."""

    def __init__(self, sentence: str, answer: Answer) -> None:
        super().__init__(sentence)
        self.answer = answer

    @property
    def inspection(self) -> Any:
        """The same as `answer`: the WeldInspection, when `weld_inspection` was asked."""
        return self.answer

    @property
    def status(self) -> Mapping[str, Status]:
        """Modality -> state, every modality of the pipeline."""
        return self.answer.status


class NoUsableModality(ModalityError):
    """Nothing that the answer could rest on was usable: it carries no information."""


class DegradedModality(ModalityError):
    """With `strict=True`: at least one modality that was sent is not OK."""


_CODES: Mapping[grpc.StatusCode, tuple[type[CrossfuseError], str]] = {
    grpc.StatusCode.INVALID_ARGUMENT: (InvalidInput, "correct the input before sending it again"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (PayloadTooLarge, "send shorter recordings or fewer photos"),
    grpc.StatusCode.NOT_FOUND: (
        UnknownPipeline,
        "the server has not loaded it, or not yet: wait if it has just started, else see `crossfuse status`",
    ),
    grpc.StatusCode.UNAUTHENTICATED: (AccessDenied, "pass tls=TLS(...) with credentials the server knows"),
    grpc.StatusCode.PERMISSION_DENIED: (AccessDenied, "pass tls=TLS(...) with credentials the server knows"),
    grpc.StatusCode.UNAVAILABLE: (ServerUnavailable, "see `crossfuse status`, or raise timeout_s"),
    grpc.StatusCode.CANCELLED: (ServerUnavailable, "see `crossfuse status`, or raise timeout_s"),
    grpc.StatusCode.DEADLINE_EXCEEDED: (Timeout, "raise the deadline of the proxy in between"),
}
RETRYABLE = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
)  # we never cancel: a stopping server does


def error_for(code: grpc.StatusCode, detail: str, subject: str) -> CrossfuseError:
    """The exception for a status code; `subject` says what was asked of whom, `detail` is the server's own
    sentence."""
    kind, advice = _CODES.get(code, (ServerFault, "look at the server's log; the request was not retried"))
    said = detail.strip().rstrip(".") or "no details given"
    return kind(f"{subject}: expected an answer, got {code.name} ({said}); {advice}", code)
