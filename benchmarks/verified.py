"""Requests whose right answers are known: asked one by one first, then compared under load.

An answer that differs from what the same request got alone is as much a miss as one that is late: a server
that mixes up the rows of a batch must not count as fast.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import grpc
import numpy as np
from crossfuse import PIPELINES
from crossfuse._payloads import infer_request, set_timeout
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from benchmarks import recording
from benchmarks.open_loop import METHOD, OPTIONS, OWN_CONNECTION, Limit, Load, Schedule, Traffic
from benchmarks.recording import Recording, read_answer
from benchmarks.workloads import Workload

REJECTED = ("UNAVAILABLE", "RESOURCE_EXHAUSTED")  # told to come back later: the queue is full
WARM_UP = 16  # at once, so that batches of every size were computed before anything is timed


@dataclass(frozen=True)
class Expected:
    """What each item gets when it is asked alone.

    answers: (items, values), NaN where it is refused; code: (items,) gRPC status, empty for an answer
    """

    answers: NDArray[np.float32]
    code: NDArray[np.str_]

    @property
    def least_distance(self) -> float:
        """How far apart, at the least, the answers to two different items lie (largest value counts)."""
        known = self.answers[self.code == ""]
        if len(known) < 2:
            return float("inf")
        away = np.abs(known[:, None] - known[None]).max(axis=2)
        np.fill_diagonal(away, np.inf)
        return float(away.min())


@dataclass(frozen=True)
class Subject:
    """A server, requests for it, and what it should answer."""

    url: str
    workload: Workload
    messages: Sequence[bytes]
    expected: Expected

    @cached_property
    def impatient(self) -> Sequence[bytes]:
        """The same requests, saying that they wait no longer than the SLO."""
        return [waiting(message, self.workload.slo_ms / 1e3) for message in self.messages]

    def load(self, schedule: Schedule, limit: Limit | None = None, patient: bool = True) -> Load:
        """A load of these requests."""
        chosen = self.messages if patient else self.impatient
        messages = {"live": chosen, "canary": chosen}
        nobody = np.zeros(len(schedule), bool)
        return Load(self.url, schedule, messages, nobody, self.workload.outputs, limit)

    def replay(self, schedule: Schedule, limit: Limit | None = None, patient: bool = True) -> Verdict:
        """Carry a schedule out and judge every answer; patient: requests do not say that the SLO is all they
        wait."""
        with Traffic(self.load(schedule, limit, patient)) as traffic:
            traffic.begin()
            recorded = traffic.finish()
            return judged(recorded, self.expected, self.workload, traffic.processor_s)


@dataclass(frozen=True)
class Verdict:
    """A recording with what is wrong in it; masks are (requests,).

    failed: an error, or an answer where an error was due; wrong: an answer unlike the one expected
    late:   not there within the SLO, or never; processor_s: what the generator took of the machine
    """

    recording: Recording
    slo_s: float
    failed: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    late: NDArray[np.bool_]
    processor_s: float = float("nan")

    @cached_property
    def missed(self) -> NDArray[np.bool_]:
        """(requests,) whether it does not count."""
        return self.failed | self.wrong | self.late

    @property
    def lag_p99_ms(self) -> float:
        """How late the generator was."""
        left = self.recording.lag_s[np.isfinite(self.recording.lag_s)]
        return float(np.percentile(left, 99)) * 1e3 if len(left) else float("inf")

    @property
    def void(self) -> bool:
        """Whether the generator was too late for the run to speak of the server."""
        return self.lag_p99_ms > recording.MAX_LAG_MS

    @property
    def failed_share(self) -> float:
        """Share of errors and wrong answers; 0 of nothing."""
        return float((self.failed | self.wrong).mean()) if len(self.recording) else 0.0

    def goodput_hz(self, duration_s: float) -> float:
        """Good answers a second."""
        return float((~self.missed).sum()) / duration_s

    def figures(self, duration_s: float) -> dict[str, Any]:
        """For JSON; latencies are those of answers, from when each was due."""
        recorded = self.recording
        rejected = np.isin(recorded.code, REJECTED)
        codes = Counter(recorded.code[self.failed].tolist())
        return {
            "requests": len(recorded),
            "offered_hz": round(len(recorded) / duration_s, 3),
            "goodput_hz": round(self.goodput_hz(duration_s), 3),
            "slo_attained": round(float((~self.missed).mean()), 5) if len(recorded) else None,
            "latency_ms": recording.percentiles_ms(recorded.latency_s[recorded.answered]),
            "late": int(self.late.sum()),
            "wrong": int(self.wrong.sum()),
            "failed": int(self.failed.sum()),
            "failed_codes": {code or "ANSWERED": count for code, count in codes.items()},
            "rejected": int(rejected.sum()),
            "rejected_after_ms": recording.percentiles_ms(recorded.latency_s[rejected]),
            "lag_p99_ms": round(self.lag_p99_ms, 3),
            "void": self.void,
            "generator_processor_s": round(self.processor_s, 3),
        }


def judged(
    recorded: Recording, expected: Expected, workload: Workload, processor_s: float = float("nan")
) -> Verdict:
    """Compare every row with what its item gets alone."""
    slo_s = workload.slo_ms / 1e3
    due_code = expected.code[recorded.item]
    failed = recorded.code != due_code
    wrong = np.zeros(len(recorded), bool)
    compared = np.flatnonzero(~failed & recorded.answered)
    if len(compared):
        away = np.abs(recorded.answers[compared] - expected.answers[recorded.item[compared]]).max(axis=1)
        wrong[compared] = ~(away <= workload.tolerance)  # a NaN is no agreement
    late = ~(recorded.latency_s <= slo_s)
    return Verdict(recorded, slo_s, failed, wrong, late, processor_s)


def messages_of(pipeline: str, payloads: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """Serialized requests of payloads as `Client.infer` takes them."""
    tensors = [PIPELINES[pipeline].tensors(each) for each in payloads]
    return [infer_request(pipeline, each).SerializeToString() for each in tensors]


def waiting(message: bytes, wait_s: float) -> bytes:
    """The same request, saying how long its answer is waited for."""
    request = service_pb2.ModelInferRequest.FromString(message)
    set_timeout(request, wait_s)
    return bytes(request.SerializeToString())


def subject(
    url: str, workload: Workload, payloads: Sequence[Mapping[str, Any]], refusals: bool = False
) -> Subject:
    """Warm the server up and ask every request alone.

    refusals: whether some of the requests may be refused, as corrupt ones are
    raises: RuntimeError when one that may not be is
    """
    messages = messages_of(workload.pipeline, payloads)
    expected = asked_alone(url, messages, workload.outputs)
    if not refusals and (expected.code != "").any():
        refused = ", ".join(sorted(set(expected.code.tolist()) - {""}))
        raise RuntimeError(f"server {url}: expected answers to intact requests, got {refused}; see its log")
    found = Subject(url, workload, messages, expected)
    found.replay(at_once(WARM_UP, len(messages)))
    return found


def at_once(count: int, items: int) -> Schedule:
    """So many requests, all due in the first moment, each item as often as any other."""
    return Schedule(np.zeros(count), np.arange(count) % items)


def asked_alone(url: str, messages: Sequence[bytes], outputs: Sequence[str]) -> Expected:
    """Send messages one after the other; a refusal is an answer too.

    raises: RuntimeError when the server is not there
    """
    read, codes = [], []
    with grpc.insecure_channel(url, options=(*OPTIONS, OWN_CONNECTION)) as channel:
        call = channel.unary_unary(METHOD)
        for message in messages:
            values, code = _one(call, message, outputs)
            read.append(values)
            codes.append(code)
    width = max((len(values) for values in read if values is not None), default=0)
    missing = np.full(width, np.nan, np.float32)
    answers = [missing if values is None else values for values in read]
    return Expected(np.stack(answers), np.array(codes, dtype=str))


def _one(
    call: Callable[[bytes], bytes], message: bytes, outputs: Sequence[str]
) -> tuple[NDArray[np.float32] | None, str]:
    try:
        return read_answer(call(message), outputs), ""
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            raise RuntimeError(f"server: expected an answer, got UNAVAILABLE: {error.details()}") from error
        return None, error.code().name
