"""What an open-loop run left behind: a row per request, figures, and which set of engines answered each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferResult, service_pb2

MAX_LAG_MS = 1.0  # p99 of how late the generator may send; above it the run says nothing about the server
UNKNOWN, FAILED = "unknown", "failed"  # labels of answers that fit no set, and of requests without an answer


@dataclass(frozen=True)
class Recording:
    """One row per request, in the order in which they were due.

    due_s:     (requests,) seconds after the beginning
    lag_s:     (requests,) how much later than that it left; NaN if it never did
    latency_s: (requests,) from when it was due to its answer, or to its error; NaN if neither came
    item:      (requests,) which of the messages it was
    is_canary: (requests,) whether it went to the canary
    code:      (requests,) name of the gRPC status code, empty for an answer
    detail:    (requests,) the server's sentence for an error
    answers:   (requests, values) the tensors asked for, joined; NaN for an error
    """

    due_s: NDArray[np.float64]
    lag_s: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    item: NDArray[np.int64]
    is_canary: NDArray[np.bool_]
    code: NDArray[np.str_]
    detail: NDArray[np.str_]
    answers: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.due_s)

    @property
    def answered(self) -> NDArray[np.bool_]:
        """(requests,) whether an answer came."""
        return self.code == ""

    def where(self, chosen: NDArray[np.bool_]) -> Recording:
        """Only the chosen rows."""
        return replace(self, **{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    def between(self, begin_s: float, end_s: float) -> Recording:
        """What was due from `begin_s` until before `end_s`."""
        return self.where((self.due_s >= begin_s) & (self.due_s < end_s))

    def save(self, path: Path, **more: NDArray[Any]) -> Path:
        """Write every row, and further columns, as .npz; returns the path."""
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        np.savez_compressed(path, **columns, **more)
        return path


def load(path: Path) -> Recording:
    """What `Recording.save` wrote."""
    with np.load(path) as stored:
        return Recording(**{field.name: stored[field.name] for field in fields(Recording)})


def read_answer(reply: bytes, outputs: Sequence[str]) -> NDArray[np.float32]:
    """Some tensors of a serialized ModelInferResponse, flattened and joined.

    raises: ValueError when it lacks one of them
    """
    result = InferResult(service_pb2.ModelInferResponse.FromString(reply))
    tensors = [result.as_numpy(name) for name in outputs]
    if any(tensor is None for tensor in tensors):
        named = [output.name for output in result.get_response().outputs]
        raise ValueError(f"answer: expected the outputs {', '.join(outputs)}, got {', '.join(named)}")
    return np.concatenate([np.asarray(tensor, np.float32).ravel() for tensor in tensors])


def classify(
    recording: Recording, references: Mapping[str, NDArray[np.float32]], tolerance: float
) -> NDArray[np.str_]:
    """Which set of engines answered each request.

    references: name of a set -> its answers, (items, values)
    tolerance:  how far every value may lie from the set's own answer; batching alone moves it a little
    returns:    (requests,) the name of the nearest set, UNKNOWN if none is near enough, FAILED for errors
    """
    names = np.array([*references, UNKNOWN, FAILED])
    chosen = np.full(len(recording), len(names) - 1)
    answered = np.flatnonzero(recording.answered)
    if len(answered):
        expected = np.stack(list(references.values()))[:, recording.item[answered]]  # (sets, answers, values)
        away = np.abs(expected - recording.answers[answered]).max(axis=2)  # (sets, answers)
        nearest = away.argmin(axis=0)
        chosen[answered] = np.where(away.min(axis=0) <= tolerance, nearest, len(names) - 2)
    return names[chosen]


def percentiles_ms(seconds: NDArray[np.float64]) -> dict[str, float]:
    """p50, p95, p99 and max in milliseconds; empty for no values."""
    if not len(seconds):
        return {}
    found = np.percentile(seconds, [50, 95, 99, 100]) * 1e3
    return {
        name: round(float(value), 3) for name, value in zip(("p50", "p95", "p99", "max"), found, strict=True)
    }


def summary(recording: Recording, labels: NDArray[np.str_] | None = None) -> dict[str, Any]:
    """A recording as figures; with `labels` of `classify` also how many answers came from which set.

    Latencies are those of answers; errors are counted by code and sentence, and the two populations apart.
    `void`: the generator itself was too late for the figures to speak of the server.
    """
    left = recording.lag_s[np.isfinite(recording.lag_s)]
    lag_ms = percentiles_ms(left)
    span_s = float(np.ptp(recording.due_s)) if len(recording) > 1 else 0.0
    result: dict[str, Any] = _figures(recording) | {
        "rate_hz": round(len(recording) / span_s, 3) if span_s else None,
        "lag_ms": lag_ms,
        "void": lag_ms.get("p99", np.inf) > MAX_LAG_MS,
    }
    if recording.is_canary.any():
        live, canary = recording.where(~recording.is_canary), recording.where(recording.is_canary)
        result["populations"] = {"live": _figures(live), "canary": _figures(canary)}
    if labels is not None:
        result["sets"] = dict(Counter(labels.tolist()))
    return result


def _figures(recording: Recording) -> dict[str, Any]:
    answered = recording.answered
    failures = zip(recording.code[~answered].tolist(), recording.detail[~answered].tolist(), strict=True)
    return {
        "requests": len(recording),
        "errors": int((~answered).sum()),
        "error_texts": {f"{code}: {detail}": count for (code, detail), count in Counter(failures).items()},
        "latency_ms": percentiles_ms(recording.latency_s[answered]),
    }
