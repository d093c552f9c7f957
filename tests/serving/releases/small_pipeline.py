"""A pipeline of two models on a real server whose answer tells which set it came from, mixtures included."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from tritonclient.grpc import InferInput

import serving
from serving.releases.live import Live
from serving.releases.record import Check, Member, Pipeline, Release, now
from serving.releases.store import Store
from tests.serving.small_models import multiplying_graph, write_config

PAIR = "pair"
ENSEMBLE = """\
name: "pair"
platform: "ensemble"
max_batch_size: 8
input [ { name: "x"  data_type: TYPE_FP32  dims: [ 3 ] } ]
output [ { name: "product"  data_type: TYPE_FP32  dims: [ 3 ] } ]
ensemble_scheduling {
  step [ { model_name: "first"  model_version: -1
    input_map { key: "x" value: "x" }  output_map { key: "answer" value: "middle" } } ]
  step [ { model_name: "second"  model_version: -1
    input_map { key: "x" value: "middle" }  output_map { key: "answer" value: "product" } } ]
}
"""
FACTORS = {1: (2.0, 3.0), 2: (5.0, 7.0)}
OLD, NEW = 6.0, 35.0  # what one of each release makes of 1; mixtures make 14 and 15
FIRST, SECOND = {"first": 1, "second": 1}, {"first": 2, "second": 2}


@dataclass(frozen=True)
class Stage:
    """A server, its repository and the record of it."""

    live: Live
    store: Store

    @property
    def record(self) -> Pipeline:
        found = self.store.read(PAIR)
        assert found is not None
        return found

    def answer(self, name: str = PAIR) -> float:
        tensor = InferInput("x", [1, 3], "FP32")
        tensor.set_data_from_numpy(np.ones((1, 3), np.float32))
        answer = self.live._client.infer(name, [tensor]).as_numpy("product")
        return float(answer[0, 0])

    def resident(self) -> dict[str, set[int]]:
        return self.live.resident(["first", "second"])


def write_engine(repository: Path, model: str, version: int, factor: float | None) -> Path:
    """A version folder whose engine multiplies by `factor`; None: a file that is no engine."""
    folder = repository / model / str(version)
    folder.mkdir(exist_ok=True)
    if factor is None:
        (folder / "model.onnx").write_bytes(b"no engine")
    else:
        onnx.save(multiplying_graph(factor), folder / "model.onnx")
    return folder


def write_repository(folder: Path) -> Path:
    """Two versions of both models, and the ensemble of them."""
    for position, model in enumerate(FIRST):
        write_config(folder, model)
        config = folder / model / "config.pbtxt"
        config.write_text(config.read_text().replace("300000", "0"))
        for version, factors in FACTORS.items():
            write_engine(folder, model, version, factors[position])
    (folder / PAIR / "1").mkdir(parents=True)
    (folder / PAIR / "config.pbtxt").write_text(ENSEMBLE)
    return folder


def release(number: int, state: str = "released", passed: bool | None = None, version: int = 0) -> Release:
    """Both models at the version of the release's number, or at another; passed: None is not checked."""
    member = Member(version or number, {"model.onnx": ""})
    check = None if passed is None else Check(passed, now(), f".releases/pair/{number}/check.html")
    members = {"first": member, "second": member}
    changed = () if number == 1 else ("first", "second")
    return Release(number, state, members, changed, "", "somebody@here", "", now(), check)


def record_of(*releases: Release, active: int = 1, previous: int | None = None) -> Pipeline:
    record = Pipeline("cpu", active, previous, {}, {})
    for one in releases:
        record = record.with_release(one)
    return record


def two_releases() -> Pipeline:
    """Release 1 is live, release 2 has passed its check."""
    return record_of(release(1), release(2, "checked", passed=True))


@contextlib.contextmanager
def serving_pair(repository: Path) -> Iterator[Live]:
    """A supervised server of the pair."""
    with serving.running([PAIR], repository) as address, Live(address.grpc, repository) as live:
        yield live


def set_up(live: Live) -> Stage:
    """Release 1 is live, release 2 has passed its check and is loaded; the caller holds the lock."""
    store = Store(live.repository)
    store.write(PAIR, two_releases())
    live.hold({"first": [1, 2], "second": [1, 2]})
    live.pin(PAIR, FIRST)
    return Stage(live, store)
