"""Everything at once: mean batches by arithmetic, and a run of the verb."""

from types import SimpleNamespace

import pytest

from benchmarks import offline
from benchmarks.offline import burst, mean_batches, throughput
from tests.benchmarks.test_goodput import verdict


def test_a_mean_batch_is_rows_by_executions_between_two_readings():
    before = {"gate": (10, 10), "encoder": (10, 5), "idle": (3, 3)}
    after = {"gate": (34, 34), "encoder": (34, 9), "idle": (3, 3), "new": (8, 1)}
    assert mean_batches(before, after) == {"gate": 1.0, "encoder": 6.0, "new": 8.0}


def test_throughput_runs_until_the_last_answer():
    assert throughput(verdict(10, late=1)) == pytest.approx(10 / 0.2)


def asked(most: int = 240, **faults: int) -> SimpleNamespace:
    """A subject whose answers have these faults; most: requests that its gate lets in at once."""
    return SimpleNamespace(
        messages=[b""],
        workload=SimpleNamespace(at_once=most),
        replay=lambda schedule: verdict(len(schedule), **faults),
    )


def test_no_more_come_at_once_than_the_gate_lets_in():
    assert len(burst(asked(most=60), 240).recording) == 60


def test_a_failed_request_is_no_throughput():
    with pytest.raises(
        RuntimeError, match=r"expected 8 right answers, got \{'INTERNAL': 2\} and 0 wrong ones"
    ):
        burst(asked(failed=2), 8)


def test_late_answers_count_offline():
    assert len(burst(asked(late=5), 8).recording) == 8


@pytest.mark.server
@pytest.mark.slow
def test_the_verb_fills_batches_of_a_real_server(measured, capsys):
    found = measured("offline")
    assert "24 requests at once" in capsys.readouterr().err
    assert found["throughput_hz"]["median"] > 0 and found["generator_processor_ms_per_request"]["median"] > 0
    assert set(found["mean_batch"]) >= {"weld_gate", "weld_small_preprocess", "weld_small_fusion"}
    assert "weld_inspection" not in found["mean_batch"]
    assert (
        1.0 <= found["mean_batch"]["weld_small_fusion"] <= 8.0
        and found["mean_batch"]["weld_small_preprocess"] > 1
    )
    assert offline.table(found)
