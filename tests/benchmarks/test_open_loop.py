"""Open-loop load: what is due when, that nothing is held back, and what is told of it afterwards."""

import time
from concurrent import futures

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from benchmarks import open_loop, recording
from benchmarks.open_loop import Schedule, poisson
from benchmarks.recording import FAILED, UNKNOWN, Recording, classify, summary

VIDEO = [{"video": b"first"}, {"video": b"second"}]


def record(answers, item=None, latency_s=0.02, lag_s=0.0001, code=None, canary=None):
    """A recording of one request a second; rows of NaN in `answers` are errors."""
    answers = np.array(answers, np.float32)
    count = len(answers)
    failed = np.isnan(answers).any(axis=1)
    return Recording(
        due_s=np.arange(count, dtype=float),
        lag_s=np.full(count, lag_s),
        latency_s=np.broadcast_to(np.array(latency_s, float), count).copy(),
        item=np.zeros(count, int) if item is None else np.array(item),
        is_canary=np.zeros(count, bool) if canary is None else np.array(canary),
        code=np.where(failed, code or "INTERNAL", ""),
        detail=np.where(failed, "broken", ""),
        answers=answers,
    )


def test_a_schedule_is_the_same_for_the_same_seed_and_another_for_another():
    one, again, other = (poisson(20.0, 30.0, 5, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.due_s, again.due_s) and np.array_equal(one.item, again.item)
    assert not np.array_equal(one.due_s[:10], other.due_s[:10])


def test_requests_come_at_the_rate_with_independent_gaps_and_every_item():
    schedule = poisson(50.0, 200.0, 7, seed=3)
    gaps = np.diff(schedule.due_s)
    assert len(schedule) == pytest.approx(10_000, rel=0.05) and schedule.duration_s < 200.0
    assert gaps.min() > 0 and gaps.std() == pytest.approx(gaps.mean(), rel=0.05)  # exponential
    assert set(schedule.item) == set(range(7))


@pytest.mark.parametrize("wrong", [(0, 1, 1), (1, -1, 1), (1, 1, 0)])
def test_a_schedule_of_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match=r"^schedule: expected a rate, a duration and messages above zero"):
        poisson(*wrong, seed=1)


def test_equal_schedules_meet_equal_populations_and_a_larger_share_keeps_the_smaller():
    schedule = poisson(50.0, 20.0, 2, seed=3)
    small, again, large = (
        open_loop.load("host:1", schedule, VIDEO, ("x",), canary=share).is_canary for share in (0.1, 0.1, 0.4)
    )
    assert np.array_equal(small, again) and not (small & ~large).any()
    assert small.mean() == pytest.approx(0.1, abs=0.04) and large.mean() == pytest.approx(0.4, abs=0.05)


def test_messages_are_addressed_before_anything_is_sent():
    messages = open_loop.load("host:1", poisson(5.0, 2.0, 2, seed=3), VIDEO, ("x",)).messages
    names = {
        who: [service_pb2.ModelInferRequest.FromString(one).model_name for one in each]
        for who, each in messages.items()
    }
    assert names == {"live": ["weld_inspection"] * 2, "canary": ["weld_inspection_canary"] * 2}


def test_every_answer_is_named_after_the_set_that_gives_it():
    sets = {"old": np.array([[0.1, 0.9], [0.3, 0.7]]), "new": np.array([[0.2, 0.8], [0.3, 0.6]])}
    recorded = record([[0.1, 0.9], [0.2, 0.8], [0.3, 0.6], [0.1, 0.8], [np.nan] * 2], item=[0, 0, 1, 0, 0])
    assert classify(recorded, sets, 1e-3).tolist() == ["old", "new", "new", UNKNOWN, FAILED]


def test_an_answer_may_differ_by_the_tolerance_and_no_more():
    sets = {"old": np.array([[0.5]]), "new": np.array([[0.6]])}
    assert classify(record([[0.5009], [0.5011]]), sets, 1e-3).tolist() == ["old", UNKNOWN]


def test_figures_are_those_of_answers_and_errors_keep_their_text():
    recorded = record([[1.0], [1.0], [np.nan], [np.nan]], latency_s=[0.01, 0.03, 9.0, 9.0])
    found = summary(recorded, np.array(["old", "old", FAILED, FAILED]))
    assert found["latency_ms"]["p50"] == 20.0 and found["latency_ms"]["max"] == 30.0
    assert found["errors"] == 2 and found["error_texts"] == {"INTERNAL: broken": 2}
    assert found["sets"] == {"old": 2, FAILED: 2} and not found["void"]


def test_the_two_populations_are_told_apart():
    recorded = record([[1.0], [1.0], [np.nan]], latency_s=[0.01, 0.05, 0.02], canary=[False, True, True])
    found = summary(recorded)["populations"]
    assert found["live"]["errors"] == 0 and found["live"]["latency_ms"]["max"] == 10.0
    assert found["canary"]["errors"] == 1 and found["canary"]["latency_ms"]["max"] == 50.0
    assert "populations" not in summary(record([[1.0]]))


def test_a_generator_that_was_late_makes_the_run_void():
    assert summary(record([[1.0]] * 3, lag_s=0.0011))["void"]
    assert not summary(record([[1.0]] * 3, lag_s=0.0009))["void"]


def test_a_recording_is_kept_as_it_was(tmp_path):
    recorded = record([[1.0], [np.nan]])
    labels = np.array(["old", FAILED])
    loaded = recording.load(recorded.save(tmp_path / "a" / "run.npz", labels=labels))
    assert summary(loaded) == summary(recorded) and np.array_equal(loaded.answered, [True, False])
    with np.load(tmp_path / "a" / "run.npz") as stored:
        assert stored["labels"].tolist() == labels.tolist()


def test_a_part_of_a_recording_is_a_recording():
    assert record([[1.0]] * 5).between(1.0, 3.0).due_s.tolist() == [1.0, 2.0]


class Slow(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers with the number of the request's first byte, one request at a time, each in `work_s`."""

    work_s = 0.05

    def ModelInfer(self, request, context):
        time.sleep(self.work_s)
        payload = request.raw_input_contents[0]
        if payload.startswith(b"second"):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not that one")
        response = service_pb2.ModelInferResponse(model_name=request.model_name)
        response.outputs.add(name="probabilities", datatype="FP32", shape=[1, 2])
        is_canary = request.model_name.endswith("_canary")
        response.raw_output_contents.append(np.array([payload[0], is_canary], np.float32).tobytes())
        return response


@pytest.fixture
def slow():
    server = grpc.server(futures.ThreadPoolExecutor(1), options=[("grpc.so_reuseport", 0)])
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Slow(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_a_slow_server_holds_nothing_back_and_its_queue_counts(slow):
    together = Schedule(np.zeros(10), np.zeros(10, int))
    recorded = open_loop.replay(open_loop.load(slow, together, VIDEO, ("probabilities",)))
    latency_s = np.sort(recorded.latency_s)
    assert recorded.answered.all() and recorded.lag_s.max() < latency_s[-1]
    assert (latency_s >= Slow.work_s * np.arange(1, 11)).all()  # the tenth waited for the nine before it


def test_answers_and_errors_come_back_with_their_requests(slow):
    schedule = Schedule(np.array([0.0, 0.01, 0.02]), np.array([0, 1, 0]))
    recorded = open_loop.replay(open_loop.load(slow, schedule, VIDEO, ("probabilities",), canary=1.0))
    assert recorded.code.tolist() == ["", "INVALID_ARGUMENT", ""] and recorded.detail[1] == "not that one"
    assert recorded.answers[[0, 2]].tolist() == [[ord("f"), 1.0]] * 2 and np.isnan(recorded.answers[1]).all()


def test_an_answer_that_lacks_what_was_asked_for_is_an_error(slow):
    schedule = Schedule(np.zeros(1), np.zeros(1, int))
    recorded = open_loop.replay(open_loop.load(slow, schedule, VIDEO, ("embedding",)))
    assert recorded.code.tolist() == ["INCOMPLETE"]
    assert "expected the outputs embedding, got probabilities" in recorded.detail[0]


def test_answers_can_be_asked_for_one_by_one(slow):
    messages = open_loop.load(slow, Schedule(np.zeros(0), np.zeros(0, int)), VIDEO, ()).messages["live"]
    assert open_loop.ask(slow, messages[:1], ("probabilities",)).tolist() == [[ord("f"), 0.0]]
    with pytest.raises(RuntimeError, match="expected answers, got INVALID_ARGUMENT: not that one"):
        open_loop.ask(slow, messages, ("probabilities",))


def test_where_no_server_is_the_generator_says_so():
    load = open_loop.load("127.0.0.1:1", Schedule(np.zeros(1), np.zeros(1, int)), VIDEO, ("probabilities",))
    sentence = r"^load generator: expected its connection .* got no connection; is a server at 127\.0\.0\.1:1"
    with pytest.raises(RuntimeError, match=sentence), open_loop.Traffic(load, connect_s=0.2):
        raise AssertionError("entered without a server")
