"""Who is let in: by what is under way and how long the last ones took."""

import time

import pytest

from serving.backends.admission import LOST_S, LOST_TIMES, UNEVEN, Forecast, Gate, Line, Teller


def steady(each_s: float, under_way: int, forecast: Forecast) -> float:
    """Answers that take `each_s` per request before them, until the forecast knows; returns the time."""
    now = 0.0
    for _ in range(under_way):
        forecast.admitted(now)
    for _ in range(100):
        now += each_s
        forecast.answered(1, now)
        forecast.admitted(now)
    return now


def test_nothing_is_expected_before_anything_was_answered():
    forecast = Forecast()
    forecast.admitted(0.0)
    assert forecast.next(1.0)[1] == 0.0


@pytest.mark.parametrize("under_way", [1, 4, 16])
def test_the_wait_is_that_of_all_who_came_before(under_way):
    forecast = Forecast()
    now = steady(0.025, under_way, forecast)
    assert forecast.next(now)[1] == pytest.approx(0.025 * (under_way + 1), rel=0.01)


def test_what_a_lone_request_takes_is_not_taken_by_each_that_waits():
    """30 ms alone, and 15 for each before it: seen with few before it, foretold for many."""
    line = Line()
    for number in range(200):
        before = number % 6
        line.add(before, 0.030 + 0.015 * before)
    assert line.at(0) == pytest.approx(0.030)
    assert line.at(20) == pytest.approx(0.330)


def test_a_line_that_falls_is_none():
    """Noise may say that those who wait behind more are answered sooner."""
    line = Line()
    for number in range(200):
        line.add(number % 6, 0.2 - 0.02 * (number % 6))
    assert line.at(20) == pytest.approx(line.at(0))


def test_a_slower_machine_is_noticed():
    forecast = Forecast()
    before = forecast.next(steady(0.025, 4, forecast))[1]
    now = 10.0
    for _ in range(600):
        now += 0.1
        forecast.answered(1, now)
        forecast.admitted(now)
    assert forecast.next(now)[1] == pytest.approx(4 * before, rel=0.05)


def test_whoever_comes_to_an_idle_server_is_let_in_however_slow_it_was():
    forecast = Forecast()
    forecast.admitted(0.0)
    forecast.answered(1, 60.0)
    assert forecast.next(61.0)[1] == 0.0


def test_answers_that_nobody_was_let_in_for_count_for_nothing():
    forecast = Forecast()
    forecast.admitted(0.0)
    forecast.answered(5, 1.0)
    forecast.admitted(2.0)
    assert forecast.next(2.0)[1] == pytest.approx(2.0)


def test_a_request_that_got_lost_is_forgotten():
    forecast = Forecast()
    forecast.admitted(0.0)
    forecast.answered(1, 1.0)
    forecast.admitted(1.0)
    lost_s = 1.0 + LOST_TIMES * 1.0 + LOST_S  # it came at 1, and the one before it took a second
    assert forecast.next(lost_s - 0.1) == (1, pytest.approx(2.0))
    assert forecast.next(lost_s + 0.1) == (0, 0.0)


def test_many_that_were_cancelled_do_not_lock_the_door():
    forecast = Forecast()
    now = steady(0.025, 4, forecast)
    for _ in range(400):
        forecast.admitted(now)
    under_way, expected_s = forecast.next(now)
    assert under_way == 404
    assert forecast.next(now + LOST_TIMES * expected_s + LOST_S + 0.1) == (0, 0.0)


@pytest.fixture
def gate():
    made = Gate("a_gate_of_this_test", 2000)
    yield made
    made.close()


@pytest.fixture
def teller():
    made = Teller("a_gate_of_this_test")
    yield made
    made.close()


def answers_heard(gate: Gate, teller: Teller) -> None:
    """Let some in and tell of them until the gate, whose thread may still be starting, knows how long they
    take; then nothing is under way.
    """
    until = time.monotonic() + 30
    while not gate.forecast._times.at(0):
        assert time.monotonic() < until, "the gate hears nothing"
        gate.admit()
        time.sleep(0.01)
        teller.answered(1)
    while gate.forecast.next(time.monotonic())[0]:
        time.sleep(0.01)


def test_a_gate_that_hears_of_answers_refuses_who_waits_too_briefly_and_nobody_else(gate, teller):
    answers_heard(gate, teller)
    for _ in range(1000):
        gate.admit()
    expected_s = gate.forecast.next(time.monotonic())[1]
    refusal = gate.refusal(expected_s / 2)
    assert refusal.startswith(f"overloaded: expected an answer within {expected_s / 2 * 1e3:.0f} ms")
    assert f"{expected_s * 1e3:.0f} ms" in refusal
    assert gate.refusal(0.0) == ""
    assert gate.refusal(2 * expected_s) == ""


def test_after_a_refusal_there_has_to_be_room_for_uneven_batches(gate, teller):
    answers_heard(gate, teller)
    for _ in range(1000):
        gate.admit()
    barely_s = 1.01 * gate.forecast.next(time.monotonic())[1]
    assert gate.refusal(barely_s) == ""
    assert gate.refusal(barely_s / 2)
    assert gate.refusal(barely_s)
    assert gate.refusal(UNEVEN * barely_s) == ""


def test_only_so_many_are_under_way_however_long_they_wait(gate, teller):
    answers_heard(gate, teller)
    while not (refusal := gate.refusal(0.0)):
        gate.admit()
    assert refusal == "overloaded: expected fewer than 2000 requests under way, got 2000; try again later"
    teller.answered(2)
    until = time.monotonic() + 30
    while gate.refusal(0.0):
        assert time.monotonic() < until, "the gate hears nothing"


def test_a_gate_that_hears_of_no_answers_refuses_nobody(gate):
    for _ in range(3000):
        gate.admit()
    assert gate.refusal(1e-6) == ""


def test_a_step_without_a_gate_and_a_gate_that_is_gone_cost_nothing():
    for name in ("", "no_gate_of_this_name"):
        teller = Teller(name)
        teller.answered(8)
        teller.close()


def test_the_next_version_of_a_gate_gets_the_name_when_the_first_has_gone(gate, teller):
    second = Gate("a_gate_of_this_test", 2000)
    try:
        gate.close()
        answers_heard(second, teller)
    finally:
        second.close()
