"""When a request is sent again, told by driving the conversation by hand on a clock of ours."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from crossfuse import PIPELINES, Retries, ServerUnavailable, Timeout, UnknownPipeline
from crossfuse._conversation import Conversation, Outcome, Pause, Reply, Send, Silence, Work
from crossfuse._retries import Pace

from tests.client.stand_ins import Recorded, config_response, refused, weld_response

UNAVAILABLE = refused(grpc.StatusCode.UNAVAILABLE, "connection refused")
RETRIES = Retries(initial_backoff_s=0.1, max_backoff_s=1.0, per_second=16, burst=32)


class World:
    """Plays the server and the passing of time."""

    def __init__(self, **options: Any) -> None:
        self.now = 0.0
        settings = {"timeout_s": 60.0, "retries": RETRIES, "strict": False} | options
        self.conversation = Conversation("host:1", clock=lambda: self.now, **settings)
        self.paused: list[float] = []

    def play(self, answer: Any) -> Any:
        """Run one inference; `answer(step)` is the outcome of every call but the first ModelConfig."""
        flow = self.conversation.infer("weld_inspection", {"video": b"v"})
        came: Any = None
        try:
            while True:
                came = self.perform(flow.send(came), answer)
        except StopIteration as stop:
            return stop.value

    def perform(self, step: Any, answer: Any) -> Any:
        if isinstance(step, Work):
            return step.function()
        if isinstance(step, Pause):
            self.paused.append(step.seconds)
            self.now += step.seconds
            return None
        return answer(step)

    def down_until(self, seconds: float) -> Any:
        def answer(step: Send) -> Outcome:
            if self.now < seconds:
                return UNAVAILABLE
            return Reply(config_response() if step.method == "ModelConfig" else weld_response())

        return answer


def test_a_server_that_is_away_for_ten_seconds_loses_nothing() -> None:
    world = World()
    assert world.play(world.down_until(10.0)).defect == "Porosity"
    assert 10.0 <= world.now <= 11.0 and max(world.paused) <= 1.0
    assert len(world.paused) <= 20


def test_the_first_retry_comes_soon_and_the_later_ones_slow_down() -> None:
    world = World()
    world.play(world.down_until(5.0))
    assert 0.05 <= world.paused[0] <= 0.1 and 0.1 <= world.paused[1] <= 0.2 and min(world.paused[5:]) >= 0.5


def test_retries_end_with_the_time_of_the_request() -> None:
    world = World(timeout_s=5.0)
    with pytest.raises(
        ServerUnavailable, match=r"UNAVAILABLE \(\d+ attempts in 5 s, the last: connection refused\)"
    ):
        world.play(world.down_until(1e9))
    assert 3.9 <= world.now < 5.0


def test_without_retries_everything_is_sent_once() -> None:
    world = World(retries=None)
    with pytest.raises(ServerUnavailable):
        world.play(world.down_until(1e9))
    assert world.paused == []


def test_a_stopping_server_that_cancels_its_calls_is_asked_again() -> None:
    outcomes = iter([Reply(config_response()), refused(grpc.StatusCode.CANCELLED), Reply(weld_response())])
    assert World().play(lambda step: next(outcomes)).defect == "Porosity"


def test_a_pipeline_that_has_answered_and_is_not_found_is_being_loaded_again() -> None:
    missing = refused(grpc.StatusCode.NOT_FOUND)
    outcomes = iter([Reply(config_response()), missing, missing, Reply(weld_response())])
    assert World().play(lambda step: next(outcomes)).defect == "Porosity"


def test_a_pipeline_that_never_comes_back_is_unknown_in_the_end() -> None:
    world = World(timeout_s=2.0)
    found = [Reply(config_response())]
    with pytest.raises(UnknownPipeline, match="attempts in 2 s"):
        world.play(lambda step: found.pop() if found else refused(grpc.StatusCode.NOT_FOUND))


def test_silence_is_a_timeout_and_is_not_sent_again() -> None:
    recorded = Recorded(Silence())
    with pytest.raises(
        Timeout, match=r"expected an answer within 60 s, got none; the request was left to finish"
    ):
        World().play(recorded.send)
    assert len(recorded.inferences) == 1


def test_each_attempt_may_wait_for_what_is_left_of_the_time() -> None:
    world = World(timeout_s=30.0)
    waits = []

    def answer(step: Send) -> Outcome:
        waits.append(step.wait_s)
        return world.down_until(10.0)(step)

    world.play(answer)
    assert waits[0] == 30.0 and waits == sorted(waits, reverse=True) and 19.0 <= waits[-1] <= 20.0


def test_one_request_is_built_once_and_sent_again_as_it_is() -> None:
    recorded = Recorded(UNAVAILABLE, UNAVAILABLE, Reply(weld_response()))
    World().play(recorded.send)
    assert len({id(step.request) for step in recorded.inferences}) == 1 and len(recorded.inferences) == 3


def test_a_burst_of_retries_goes_at_once_and_then_at_the_pace() -> None:
    now = [0.0]
    pace = Pace(Retries(per_second=4, burst=2), lambda: now[0])
    assert [pace.reserve() for _ in range(5)] == [0.0, 0.0, 0.25, 0.5, 0.75]
    now[0] = 10.0
    assert pace.reserve() == 0.0


def test_an_answer_lets_another_retry_go() -> None:
    pace = Pace(Retries(per_second=4, burst=1), lambda: 0.0)
    assert pace.reserve() == 0.0
    pace.give_back()
    assert pace.reserve() == 0.0
    assert pace.reserve() == 0.25


def test_a_hundred_waiting_requests_do_not_become_a_storm() -> None:
    world = World(retries=Retries(per_second=10, burst=5))
    flows = [world.conversation.infer("weld_inspection", {"video": b"v"}) for _ in range(100)]
    pauses = []
    for flow in flows:
        step = flow.send(None)
        step = flow.send(step.function())
        assert isinstance(step, Send)
        pauses.append(flow.send(UNAVAILABLE).seconds)
    assert sum(pause < 1.0 for pause in pauses) <= 5 + 10 + 1
    assert max(pauses) == pytest.approx(9.5, abs=0.1)


@pytest.mark.parametrize(
    "nonsense", [{"initial_backoff_s": 0}, {"max_backoff_s": 0.01}, {"per_second": 0}, {"burst": 0}]
)
def test_retries_refuse_nonsense(nonsense: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"^retries: expected .*, got .*; pass retries=None"):
        Retries(**nonsense)


def test_every_pipeline_is_an_entry_that_can_be_read() -> None:
    for name, pipeline in PIPELINES.items():
        assert (
            pipeline.name == name and pipeline.payloads and pipeline.tensors.__doc__ and pipeline.read.__doc__
        )


def test_every_attempt_says_how_long_it_is_still_waited_for() -> None:
    """What is left of the timeout, in microseconds, as Triton's protocol has it."""
    world = World()
    told = []

    def answer(step: Send) -> Outcome:
        if step.method == "ModelConfig":
            return Reply(config_response())
        told.append((world.now, step.request.parameters["timeout"].int64_param))
        return UNAVAILABLE if world.now < 10.0 else Reply(weld_response())

    world.play(answer)
    assert len(told) > 5
    for now, timeout_us in told:
        assert timeout_us == pytest.approx((60.0 - now) * 1e6, abs=1)
