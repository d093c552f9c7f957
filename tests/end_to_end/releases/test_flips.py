"""Flips and rollbacks under traffic that does not wait: no request fails, no answer comes from a mixture."""

import time

import numpy as np
import pytest

from benchmarks import open_loop
from serving.releases.live import CANARY, Live
from serving.releases.store import Store
from tests.end_to_end.releases.lab import NEW, OLD, smallest_difference
from tests.end_to_end.releases.sets import CHANGED, PIPELINE
from tests.end_to_end.releases.traffic import OUTPUTS
from tests.end_to_end.weld_files import TOLERANCE

pytestmark = pytest.mark.server
TIMES = 3  # there and back; `python -m benchmarks swap` does it fifty times and measures it
RATE_HZ, DURATION_S = 20.0, 8.0
PAUSE_S = 0.7  # between two changes: some fifteen requests


@pytest.fixture(scope="module")
def checked(operator, candidate):
    """Release 2. A busy machine may fail its check on latency alone, which is not what is tested here."""
    operator.do("prepare", source=str(candidate), why="three new engines")
    operator.do("check")
    operator.do("flip", number=2, force="its check passed, or the machine is busy")
    operator.do("rollback")


def test_every_mixture_of_old_and_new_models_answers_differently(known):
    assert len(known.answers) == 2 ** len(CHANGED)
    assert smallest_difference(known) > 10 * TOLERANCE


def test_flips_and_rollbacks_under_open_loop_traffic_lose_and_mix_nothing(
    checked, operator, served, repository, known
):
    schedule = open_loop.poisson(RATE_HZ, DURATION_S, items=1, seed=3)
    periods = []  # (set, begin, end): in between nothing changes
    with open_loop.Traffic(open_loop.load(served.grpc, schedule, [known.payloads], OUTPUTS)) as traffic:
        began = traffic.begin()
        for turn in range(2 * TIMES + 1):
            from_s = time.monotonic() - began
            time.sleep(PAUSE_S)
            periods.append((NEW if turn % 2 else OLD, from_s, time.monotonic() - began))
            if turn < 2 * TIMES:
                _change(operator, forth=turn % 2 == 0)
        recording = traffic.finish()
    assert set(recording.code) == {""}, set(recording.detail)
    who = np.array([known.who(answer) for answer in recording.answers])
    assert set(who) == {OLD, NEW}
    for name, from_s, to_s in periods:
        left, came = recording.due_s + recording.lag_s, recording.due_s + recording.latency_s
        assert set(who[(left > from_s) & (came < to_s)]) <= {name}
    record = Store(repository).read(PIPELINE)
    with Live(served.grpc, repository) as live:
        assert live.pinned(PIPELINE) == record.release(record.active).versions


def test_a_trial_ends_with_the_flip_so_that_a_rollback_leaves_nobody_with_the_new_set(
    checked, operator, served, repository
):
    """A client that sends a share to the canary must not go on with a set that was taken back."""
    record = Store(repository).read(PIPELINE)
    with Live(served.grpc, repository) as live:
        live.hold({model: [1, version] for model, version in record.release(2).versions.items()})
        live.pin(PIPELINE, record.release(2).versions, PIPELINE + CANARY)
        operator.do("flip", number=2, why="forth")
        operator.do("rollback", why="and back")
        assert live.pinned(PIPELINE + CANARY) is None


def _change(operator, forth: bool) -> None:
    if forth:
        operator.do("flip", number=2, why="forth")
    else:
        operator.do("rollback", why="and back")
