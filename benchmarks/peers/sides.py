"""The sides of the comparison: each peer with each set of engines, and how one is brought up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import verified
from benchmarks.arrivals import Schedule
from benchmarks.open_loop import Limit, Load
from benchmarks.peers import Peer, Settings, http_load
from benchmarks.peers.checking import differences, precision_of
from benchmarks.peers.running import running
from benchmarks.peers.settings import EngineFile
from benchmarks.peers.wire import LAYOUT
from benchmarks.verified import Expected, Subject
from benchmarks.workloads import Workload
from serving.server import free_ports, is_free

PORTS = 3  # of MLServer: gRPC, HTTP, metrics, one behind the other
OURS = "crossfuse"


@dataclass(frozen=True)
class Question:
    """What all sides are asked, and what PyTorch answers; reference: (requests, values)."""

    workload: Workload
    payloads: Sequence[Mapping[str, Any]]
    reference: NDArray[np.float32]

    @property
    def widths(self) -> dict[str, int]:
        """Values of each output that is compared."""
        return {name: prod(LAYOUT[name]) for name in self.workload.outputs}


@dataclass(frozen=True)
class PeerSubject(Subject):
    """A peer that answers; `benchmarks.goodput` and `benchmarks.curve` measure it as they measure us.

    payloads: of the requests; away: output -> how far its answers lie from PyTorch's
    """

    protocol: str = "form"
    payloads: Sequence[Mapping[str, Any]] = ()
    away: Mapping[str, float] = field(default_factory=dict)

    def load(self, schedule: Schedule, limit: Limit | None = None, patient: bool = True) -> Load:
        """A load of these requests; no peer has a way to be told how long they wait."""
        messages = {"live": self.messages}
        nobody = np.zeros(len(schedule), bool)
        transport = http_load.TRANSPORTS[self.protocol]
        return Load(self.url, schedule, messages, nobody, self.workload.outputs, limit, transport)


@dataclass(frozen=True)
class Side:
    """One peer with one set of engines."""

    peer: Peer
    variant: str
    engines: Mapping[str, EngineFile]

    @property
    def name(self) -> str:
        """As tables call it."""
        return f"{self.peer.title}, {self.variant}"

    @contextmanager
    def up(
        self, question: Question, layout: tuple[int, int], programs: Path, folder: Path
    ) -> Iterator[tuple[PeerSubject, list[int]]]:
        """Start it, check its answers against PyTorch's, warm it up.

        layout: workers, threads of each; returns the subject and its processes
        raises: RuntimeError when it does not start, ValueError when it answers something else
        """
        told = Settings(
            adjacent_ports(PORTS),
            self.variant,
            *layout,
            engines=self.engines,
        )
        protocol, outputs = self.peer.protocol, question.workload.outputs
        nothing = Schedule(np.zeros(0), np.zeros(0, np.int64))
        asked = http_load.load(f"127.0.0.1:{told.port}", protocol, nothing, question.payloads, outputs)

        def answers(_: str) -> None:
            http_load.ask(http_load.first(asked))

        with running(self.peer, told, programs, folder, answers) as found:
            alone = http_load.ask(asked)
            away = differences(alone, question.reference, question.widths, precision_of(self.engines))
            expected = Expected(alone, np.full(len(alone), "", dtype=str))
            subject = PeerSubject(
                found.url,
                question.workload,
                asked.messages["live"],
                expected,
                protocol,
                question.payloads,
                away,
            )
            # Each worker in turn gets a share of what comes at once, so that none is cold when it counts.
            for _ in range(told.workers):
                subject.replay(verified.at_once(verified.WARM_UP, len(alone)))
            yield subject, found.pids()


def adjacent_ports(count: int) -> int:
    """The first of so many free ports in a row."""
    while True:
        port = free_ports(1)[0]
        if all(is_free(port + number) for number in range(count)):
            return port
