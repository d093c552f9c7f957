"""Requests that go on while releases change, each answer told from every other set's."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from crossfuse import Client, CrossfuseError, Retries, WeldInspection

from multimodal.weld_classes import CLASS_NAMES
from tests.end_to_end.releases.sets import PIPELINE
from tests.end_to_end.weld_files import TOLERANCE, WeldFiles

MODALITIES = ("audio", "sensor")  # they pass all three models that a good set changes, in 15 ms a request
OUTPUTS = ("probabilities", "anomaly_score", "embedding")
PAUSE_S = 0.02
STRANGE = "a set that is none of ours"


@dataclass(frozen=True)
class Known:
    """What each set answers to one weld; names -> figures of `figures`."""

    weld: WeldFiles
    answers: Mapping[str, np.ndarray]

    @property
    def payloads(self) -> dict[str, Any]:
        """Arguments of `Client.infer`."""
        return self.weld.payloads(*MODALITIES)

    def ask(self, client: Client, pipeline: str = PIPELINE) -> np.ndarray:
        """The figures of one answer."""
        return figures(client.infer(pipeline, **self.payloads))

    def who(self, answer: np.ndarray) -> str:
        """The set that this answer comes from; `STRANGE` for a mixture or a broken engine."""
        same = [name for name, known in self.answers.items() if np.allclose(answer, known, atol=TOLERANCE)]
        return "+".join(same) or STRANGE


def figures(answer: WeldInspection) -> np.ndarray:
    """What `OUTPUTS` of that answer hold, joined, (classes + 1 + width,)."""
    scores = [answer.scores[name] for name in CLASS_NAMES]
    return np.concatenate([scores, [answer.anomaly_score], np.ravel(answer.embedding)])


@dataclass
class Traffic:
    """A client in a thread of its own, one request after another with a short pause, for a `with` block.

    retries: None counts the first failure of every request; else what a real client would see
    seen: the set of every answer, in order, each run of equal ones once
    """

    url: str
    known: Known
    retries: Retries | None = None
    answers: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Traffic:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join()

    @property
    def sent(self) -> int:
        """Requests that have ended, one way or the other."""
        return sum(self.answers.values()) + len(self.errors)

    def some_more(self, requests: int = 3, timeout_s: float = 30.0) -> None:
        """Wait until so many more requests have ended."""
        until, deadline = self.sent + requests, time.monotonic() + timeout_s
        while self.sent < until:
            assert time.monotonic() < deadline, (
                f"expected {requests} requests to end within {timeout_s:.0f} s"
            )
            time.sleep(0.005)

    def _run(self) -> None:
        with Client(self.url, retries=self.retries) as client:
            while not self._stop.is_set():
                try:
                    name = self.known.who(self.known.ask(client))
                except CrossfuseError as error:
                    self.errors.append(f"{type(error).__name__}: {error}")
                else:
                    self.answers[name] += 1
                    if self.seen[-1:] != [name]:
                        self.seen.append(name)
                time.sleep(PAUSE_S)
