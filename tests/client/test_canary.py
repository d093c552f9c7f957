"""Who answers: which requests meet the canary, alike everywhere, and what happens where there is none."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import grpc
import pytest
from crossfuse import InvalidInput, ServerUnavailable, UnknownPipeline, canary_of, population
from crossfuse._cli import main
from crossfuse._conversation import Conversation, Outcome, Pause, Refusal, Reply, Send, Silence, Work
from crossfuse._payloads import byte_tensor
from crossfuse._pipelines import PIPELINES, Pipeline
from crossfuse._populations import payload_key

from tests.client.stand_ins import Peer, Recorded, config_response, refused, weld_response
from tests.client.test_infer import Ask, both_clients
from tests.client.test_retries import RETRIES

WELD = "weld_inspection"
MISSING = refused(grpc.StatusCode.NOT_FOUND, "unknown model")
KEYS = [f"weld-{number}" for number in range(2000)]


def chosen(share: float, pipeline: str = WELD) -> set[str]:
    return {key for key in KEYS if population(pipeline, key, share) == "canary"}


def test_the_choice_is_the_same_on_every_machine_and_in_every_release() -> None:
    # BLAKE2b of "weld_inspection\0weld-4" and "...weld-5", 64 bits as fractions: 0.441 and 0.282
    sides = [
        [population(WELD, key, share) for key in ("weld-4", "weld-5")] for share in (0.28, 0.29, 0.44, 0.45)
    ]
    assert sides == [["live", "live"], ["live", "canary"], ["live", "canary"], ["canary", "canary"]]


def test_a_share_of_keys_is_chosen_and_a_growing_share_keeps_them() -> None:
    shares = [0.0, 0.01, 0.1, 0.5, 0.9, 1.0]
    sets = [chosen(share) for share in shares]
    assert all(small <= large for small, large in pairwise(sets))
    assert [len(one) / len(KEYS) for one in sets] == pytest.approx(shares, abs=0.03)
    assert sets[0] == set() and sets[-1] == set(KEYS)


def test_two_pipelines_choose_independently() -> None:
    both = chosen(0.5) & chosen(0.5, "another")
    assert len(both) / len(KEYS) == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_what_is_no_share_is_refused_in_one_sentence(share: float) -> None:
    with pytest.raises(ValueError, match=r"^canary: expected a share of the requests from 0 to 1, got .*; "):
        population(WELD, "weld-1", share)
    with pytest.raises(ValueError, match=r"^canary: expected a share"):
        Conversation("host:1", 60.0, None, False, share)


@pytest.mark.parametrize("key", ["", 17, b"weld-17"])
def test_what_is_no_key_is_refused_in_one_sentence(key: Any) -> None:
    flow = Conversation("host:1", 60.0, None, False).infer(WELD, {"video": b"v"}, key)
    with pytest.raises(InvalidInput, match=r"^key: expected a text such as the weld's id, got .*; leave"):
        next(flow)


def test_no_modality_can_be_called_like_an_argument() -> None:
    weld = PIPELINES[WELD]
    with pytest.raises(ValueError, match=r"^x: expected payload names that `infer` does not use itself"):
        Pipeline("x", ("video", "key"), weld.tensors, weld.read, weld.judge)


def test_equal_payloads_have_equal_keys_and_others_have_others() -> None:
    once, again = [byte_tensor("video", b"a")], [byte_tensor("video", b"a")]
    assert payload_key(once) == payload_key(again)
    assert len({payload_key([byte_tensor(n, d)]) for n in ("video", "audio") for d in (b"a", b"b")}) == 4


class World:
    """Plays the server: outcomes by ensemble name, kept calls, time that only pauses spend."""

    def __init__(self, share: float, **outcomes: list[Outcome]) -> None:
        self.now = 0.0
        self.conversation = Conversation("host:1", 60.0, RETRIES, False, share, clock=lambda: self.now)
        self.outcomes = {WELD: outcomes.get("live", []), canary_of(WELD): outcomes.get("canary", [])}
        self.asked: list[tuple[str, str]] = []
        self.waits: list[float] = []
        self.worked = 0

    def infer(self, key: str | None = "weld-5") -> Any:
        flow, came = self.conversation.infer(WELD, {"video": b"v"}, key), None
        while True:
            try:
                came = self.perform(flow.send(came))
            except StopIteration as stop:
                return stop.value

    def perform(self, step: Any) -> Any:
        if isinstance(step, Work):
            self.worked += 1
            return step.function()
        if isinstance(step, Pause):
            self.now += step.seconds
            return None
        assert isinstance(step, Send)
        name = step.request.name if step.method == "ModelConfig" else step.request.model_name
        self.asked.append((step.method, name))
        self.waits.append(step.wait_s)
        return self.outcomes[name].pop(0)


def served(count: int = 1, **names: str) -> list[Outcome]:
    """The parameters, then answers."""
    return [Reply(config_response(**names)), *[Reply(weld_response())] * count]


def test_a_chosen_request_is_answered_by_the_canary_with_its_own_names() -> None:
    weld = World(0.3, canary=served(class_names="x,y,z")).infer()
    assert weld.population == "canary" and weld.defect == "y"
    assert weld.as_dict()["population"] == "canary"


def test_the_others_are_answered_by_the_live_pipeline() -> None:
    assert World(0.28, live=served()).infer().population == "live"


def test_one_key_meets_one_population_and_the_payload_decides_without_a_key() -> None:
    world = World(0.3, canary=served(3))
    assert [world.infer("weld-5").population for _ in range(3)] == ["canary"] * 3
    sides = set()
    for share in (0.05, 0.95):
        world = World(share, live=served(9), canary=served(9))
        sides |= {world.infer(None).population for _ in range(3)}
        assert world.worked == 6  # reading and hashing, each time
    assert sides == {"live", "canary"}


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_nothing_is_hashed_where_nothing_is_to_be_chosen(share: float) -> None:
    world = World(share, live=served(), canary=served())
    assert world.infer(None).population == ("canary" if share else "live")
    assert world.worked == 1


def test_where_there_is_no_canary_the_live_pipeline_answers_within_the_same_deadline() -> None:
    world = World(1.0, canary=[MISSING], live=served())
    world.conversation.clock = iter(range(10)).__next__  # every look at the clock is a second later
    assert world.infer().population == "live"
    assert [name for _, name in world.asked] == [canary_of(WELD), WELD, WELD]
    assert world.waits == sorted(world.waits, reverse=True) and world.waits[-1] < world.waits[0]


def test_a_canary_that_ended_costs_one_small_call_from_then_on() -> None:
    world = World(1.0, canary=[*served(1), MISSING, MISSING, *served(1)], live=served(2))
    assert [world.infer().population for _ in range(4)] == ["canary", "live", "live", "canary"]
    canary_calls = [method for method, name in world.asked if name == canary_of(WELD)]
    assert canary_calls == [
        "ModelConfig",
        "ModelInfer",
        "ModelInfer",
        "ModelConfig",
        "ModelConfig",
        "ModelInfer",
    ]
    assert world.now == 0.0  # nothing waited


def test_a_canary_that_is_away_is_asked_again_like_the_live_pipeline() -> None:
    away = refused(grpc.StatusCode.UNAVAILABLE)
    world = World(1.0, canary=[away, *served(0), away, Reply(weld_response())])
    assert world.infer().population == "canary" and world.now > 0


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        (
            refused(grpc.StatusCode.INTERNAL, "broken"),
            r"^weld_inspection_canary at .* got INTERNAL \(broken\)",
        ),
        (refused(grpc.StatusCode.INVALID_ARGUMENT, "short"), r"^weld_inspection_canary at .* got INVALID_"),
        (Silence(), r"^weld_inspection_canary at host:1: expected an answer within 60 s"),
    ],
)
def test_any_other_error_of_the_canary_is_an_error(outcome: Outcome, sentence: str) -> None:
    world = World(1.0, canary=[*served(0), outcome], live=served())
    with pytest.raises(Exception, match=sentence):
        world.infer()
    assert WELD not in [name for _, name in world.asked]


def test_a_restart_that_ends_the_canary_loses_nothing() -> None:
    world = World(1.0, canary=served(1), live=served(1))
    world.infer()
    world.conversation.canary = 0.0
    world.infer()
    world.conversation.canary = 1.0
    away = refused(grpc.StatusCode.UNAVAILABLE)
    world.outcomes = {canary_of(WELD): [away, MISSING], WELD: [MISSING, MISSING, Reply(weld_response())]}
    assert world.infer().population == "live"


def test_a_server_that_is_still_loading_says_so_to_a_client_that_is_new() -> None:
    with pytest.raises(
        UnknownPipeline, match=r"the server has not loaded it, or not yet: wait if it has just"
    ):
        World(0.0, live=[MISSING]).infer()


@both_clients
def test_both_clients_send_a_share_to_the_canary(ask: Ask) -> None:
    recorded = Recorded()
    assert ask(recorded, {"video": b"v", "key": "weld-5"}, canary=0.3).population == "canary"
    assert [step.request.model_name for step in recorded.inferences] == [canary_of(WELD)]
    assert ask(Recorded(), {"video": b"v", "key": "weld-4"}, canary=0.3).population == "live"


def test_the_command_tells_that_the_canary_answered(peer: Peer, tmp_path, capsys) -> None:
    (tmp_path / "weld.avi").write_bytes(b"video")
    command = ["infer", WELD, "--video", f"{tmp_path}/weld.avi", "--url", peer.url]
    assert main([*command, "--canary", "0.3", "--key", "weld-5"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "Porosity, 70.0%  (answered by the canary)"
    assert main([*command, "--canary", "0.3", "--key", "weld-4"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "Porosity, 70.0%"


def test_a_mistyped_share_exits_with_two(tmp_path, capsys) -> None:
    (tmp_path / "weld.avi").write_bytes(b"video")
    with pytest.raises(SystemExit) as caught:
        main(["infer", WELD, "--video", f"{tmp_path}/weld.avi", "--canary", "10"])
    assert caught.value.code == 2
    assert "canary: expected a share of the requests from 0 to 1, got 10.0" in capsys.readouterr().err


def test_errors_of_the_canary_are_those_of_the_tree() -> None:
    gone = Refusal(grpc.StatusCode.UNAVAILABLE, "connection refused")
    world = World(1.0, canary=[gone] * 200)
    with pytest.raises(ServerUnavailable, match=r"^weld_inspection_canary at host:1: "):
        world.infer()
