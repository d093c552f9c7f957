"""What counts as a miss: late, failed, wrong; and that a refusal is right where one was due."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import verified
from benchmarks.verified import Expected, judged
from benchmarks.workloads import WORKLOADS, alone, workload
from tests.benchmarks.test_open_loop import Slow, record, slow  # noqa: F401

EXPECTED = Expected(
    np.array([[0.1, 0.9], [0.8, 0.2], [np.nan] * 2], np.float32), np.array(["", "", "INVALID"])
)
STRICT = SimpleNamespace(slo_ms=100.0, tolerance=1e-3, outputs=("probabilities",), pipeline="weld_inspection")


def verdict(answers, item, **more):
    return judged(record(answers, item=item, **more), EXPECTED, STRICT)


def test_an_answer_in_time_and_as_alone_is_no_miss():
    found = verdict([[0.1, 0.9], [0.8, 0.2005]], [0, 1])
    assert not found.missed.any() and found.goodput_hz(2.0) == 1.0


def test_an_answer_that_belongs_to_another_request_is_wrong():
    found = verdict([[0.8, 0.2], [0.8, 0.2]], [0, 1])
    assert found.wrong.tolist() == [True, False] and found.missed.tolist() == [True, False]
    assert found.figures(2.0)["wrong"] == 1 and found.failed_share == 0.5


def test_a_late_answer_is_a_miss_though_it_is_right():
    found = verdict([[0.1, 0.9]] * 2, [0, 0], latency_s=[0.0999, 0.1001])
    assert found.late.tolist() == [False, True] and not found.wrong.any()
    assert found.figures(1.0)["slo_attained"] == 0.5


def test_what_never_came_is_late_and_failed():
    found = verdict([[np.nan] * 2], [0], latency_s=np.nan, code="UNANSWERED")
    assert found.late.all() and found.failed.all()


def test_a_refusal_is_right_where_the_request_alone_was_refused():
    found = verdict([[np.nan] * 2, [np.nan] * 2, [0.1, 0.9]], [2, 0, 2], code="INVALID")
    assert found.failed.tolist() == [False, True, True]


def test_rejections_are_counted_with_the_time_until_they_were_told():
    found = verdict([[np.nan] * 2, [0.1, 0.9]], [0, 0], latency_s=[0.03, 0.02], code="UNAVAILABLE").figures(
        1.0
    )
    assert found["rejected"] == 1 and found["rejected_after_ms"]["max"] == 30.0
    assert found["failed_codes"] == {"UNAVAILABLE": 1} and found["latency_ms"]["max"] == 20.0


def test_a_generator_above_one_millisecond_makes_the_run_void():
    assert verdict([[0.1, 0.9]], [0], lag_s=0.0011).void
    assert not verdict([[0.1, 0.9]], [0], lag_s=0.0009).void


def test_the_distance_of_answers_says_whether_a_mix_up_would_be_seen():
    assert EXPECTED.least_distance == pytest.approx(0.7, abs=1e-6)


def test_every_workload_has_an_slo_with_a_reason_and_something_to_compare():
    for name, one in WORKLOADS.items():
        assert one.pipeline == name and one.slo_ms > 0 and len(one.why) > 40 and one.outputs
    with pytest.raises(LookupError, match=r"pipeline: expected one of weld_inspection, .* got weld"):
        workload("weld")


def test_questions_are_payloads_of_a_picture_and_words(tmp_path):
    for name, words in (("vision_language", "text"), ("visual_question_answering", "question")):
        payloads = workload(name).payloads(7, tmp_path)
        assert len(payloads) >= 12 and set(payloads[0]) == {"image", words}
        assert alone(payloads, words)[0] == {words: payloads[0][words]}


def test_requests_are_asked_alone_and_refusals_are_what_they_are(slow):  # noqa: F811
    messages = verified.messages_of("weld_inspection", [{"video": b"first"}, {"video": b"second"}])
    found = verified.asked_alone(slow, messages, ("probabilities",))
    assert found.code.tolist() == ["", "INVALID_ARGUMENT"] and found.answers[0].tolist() == [ord("f"), 0.0]
    with pytest.raises(RuntimeError, match="expected answers to intact requests, got INVALID_ARGUMENT"):
        verified.subject(slow, STRICT, [{"video": b"second"}])


def test_a_subject_is_replayed_and_its_generator_says_what_it_took(slow):  # noqa: F811
    asked = verified.subject(slow, STRICT, [{"video": b"first"}])
    found = asked.replay(verified.at_once(4, 1))
    assert len(found.recording) == 4 and not found.failed.any() and not found.wrong.any()
    assert found.late.sum() >= 2  # one at a time in 50 ms each: the third is past 100 ms
    assert 0 < found.processor_s < 10


def test_a_run_that_has_failed_for_certain_ends(slow):  # noqa: F811
    from benchmarks.arrivals import Schedule
    from benchmarks.open_loop import Limit

    asked = verified.subject(slow, STRICT, [{"video": b"first"}])
    schedule = Schedule(np.arange(300) * 0.01, np.zeros(300, int))
    found = asked.replay(schedule, Limit(0.1, 2))
    assert 3 < len(found.recording) < 100 and found.recording.due_s.max() < 1.5
