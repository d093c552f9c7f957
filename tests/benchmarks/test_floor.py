"""The floor: what is tried, what serving may cost, that the work is the server's, and a run of the verb."""

import numpy as np
import pytest

from benchmarks import floor, machine_peak
from benchmarks.floor import Floor, Setting, goals, settings
from benchmarks.goodput import spread
from benchmarks.in_process import InProcess, requests_of
from benchmarks.verified import asked_alone, messages_of
from benchmarks.workloads import workload


def test_all_cores_on_a_batch_or_a_batch_on_each_core():
    assert settings(2, (1, 8)) == [Setting(1, 2, 1), Setting(1, 2, 8), Setting(2, 1, 1), Setting(2, 1, 8)]
    assert settings(1, (4,)) == [Setting(1, 1, 4)]


@pytest.mark.parametrize(
    ("lone", "served", "most", "reached"),
    [(40.0, 44.9, 5.0, True), (40.0, 45.1, 5.0, False), (200.0, 209.0, 10.0, True)],
)
def test_serving_may_add_five_milliseconds_or_five_percent(lone, served, most, reached):
    result = {
        "lone_floor_ms": spread([lone]),
        "lone_served_ms": spread([served]),
        "efficiency": spread([0.91]),
    }
    found = goals(result)
    assert found["added_ms"]["most"] == most and found["added_ms"]["reached"] is reached
    assert found["efficiency"]["reached"]
    assert not goals(result | {"efficiency": spread([0.89])})["efficiency"]["reached"]


def test_the_best_of_several_runs_counts():
    runs = []
    assert machine_peak.best_s(lambda: runs.append(1), 0.0) >= 0 and len(runs) == 2


def test_a_product_is_measured_in_three_precisions():
    found = machine_peak.gemm(1, quick=True)
    assert set(found) == {"fp32", "bf16", "int8"} and all(value > 0 for value in found.values())


def test_operations_of_a_request_are_those_of_every_network():
    found = machine_peak.operations(floor.Path("model_repository"), "weld_small")
    assert set(found) == {f"weld_small_{part}" for part in ("fusion", *(f"{m}_encoder" for m in MODALITIES))}
    assert min(found.values()) > 1e5 and found["weld_small_video_encoder"] > 1e8


MODALITIES = ("video", "image", "audio", "sensor")


@pytest.mark.server
@pytest.mark.slow
def test_the_work_in_process_is_the_server_s_work(exported, weld_server, bench):
    work = workload("weld_inspection")
    payloads = work.payloads(7, bench / "build" / "benchmarks")[:3]
    payloads[1] = {"audio": payloads[1]["audio"]}
    messages = messages_of("weld_inspection", payloads)
    served = asked_alone(weld_server.grpc, messages, work.outputs)
    network = InProcess(exported, "weld_inspection", threads=1)
    answers = network(requests_of(messages))
    for number, answer in enumerate(answers):
        values = np.concatenate([answer[name].ravel() for name in work.outputs])
        assert np.abs(values - served.answers[number]).max() < 1e-4
    assert answers[1]["modality_status"].tolist() == [[1, 1, 0, 1]]


@pytest.mark.server
@pytest.mark.slow
def test_workers_share_the_requests(exported, bench):
    payloads = workload("weld_inspection").payloads(7, bench / "build" / "benchmarks")[:2]
    small = Floor(exported, "weld_inspection", requests_of(messages_of("weld_inspection", payloads)))
    assert small.throughput(Setting(2, 1, 2), 0.1) > 0 and small.latency_ms(1, 1) > 0


@pytest.mark.server
def test_a_step_that_has_no_floor_says_so(exported):
    with pytest.raises(LookupError, match=r"weld_inspection: expected a backend of gate, .* got ensemble"):
        from benchmarks.in_process import load

        load(exported, "weld_inspection", 1)


@pytest.mark.server
@pytest.mark.slow
def test_the_verb_compares_a_real_server_with_its_floor(exported, measured, capsys):
    found = measured("floor", "--repository", str(exported))
    assert "efficiency" in capsys.readouterr().err
    assert found["floor_hz"]["median"] > 0 and found["efficiency"]["median"] > 0
    best = max(found["settings"], key=lambda one: one["throughput_hz"])
    assert found["best"] == {name: best[name] for name in ("workers", "threads", "batch")}
    assert found["machine"]["share_of_gemm"]["fp32"] > 0
