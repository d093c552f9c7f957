"""What a peer is told: where to listen, which engines to run, how many workers, threads and rows."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

VARIABLE = "CROSSFUSE_PEER"
TORCH, SAME_ENGINES = "torch", "same-engines"
VARIANTS = (TORCH, SAME_ENGINES)


@dataclass(frozen=True)
class EngineFile:
    """One engine as our own server runs it.

    engine: onnxruntime or openvino; precision: what an fp32 graph is computed in, fp32 or bf16
    """

    path: str
    engine: str = "onnxruntime"
    precision: str = "fp32"


@dataclass(frozen=True)
class Settings:
    """One start of one peer.

    workers:   processes that compute; threads: of each, so that all together have every core once
    max_batch: rows that may be computed together, as in our configurations
    wait_ms:   how long a peer that waits for a batch to fill may wait
    engines:   video, image, audio, sensor, fusion -> file; none for torch
    """

    port: int
    variant: str = TORCH
    workers: int = 1
    threads: int = 2
    max_batch: int = 8
    wait_ms: float = 5.0
    engines: Mapping[str, EngineFile] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise ValueError(f"variant: expected one of {', '.join(VARIANTS)}, got {self.variant}")
        if min(self.workers, self.threads, self.max_batch) < 1:
            raise ValueError(
                f"peer: expected at least one worker, thread and row, got {self.workers}, {self.threads} "
                f"and {self.max_batch}"
            )
        if self.variant == SAME_ENGINES and not self.engines:
            raise ValueError("peer: expected engine files, got none; run `python -m export weld_small`")

    def to_json(self) -> str:
        """As the environment carries it."""
        return json.dumps(asdict(self))


def from_json(text: str) -> Settings:
    """What `Settings.to_json` wrote."""
    found = json.loads(text)
    engines = {part: EngineFile(**each) for part, each in found.pop("engines").items()}
    return Settings(**found, engines=engines)


def from_environment() -> Settings:
    """The settings that this peer was started with; LookupError where it was not started by the command."""
    if VARIABLE not in os.environ:
        raise LookupError(
            f"{VARIABLE}: expected the settings of a peer, found none; run `python -m benchmarks peers`"
        )
    return from_json(os.environ[VARIABLE])
