"""From an answer to a result, alike for both clients."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from crossfuse import (
    AsyncClient,
    Client,
    DegradedModality,
    InvalidInput,
    NoUsableModality,
    ServerFault,
    Status,
    UnknownPipeline,
    WeldInspection,
)
from crossfuse._conversation import Reply

from tests.client.stand_ins import (
    ABSENT,
    CORRUPT,
    LENGTHS,
    MODALITIES,
    OK,
    PARTIAL,
    AsyncRecorded,
    Recorded,
    config_response,
    weld_outputs,
    weld_response,
)

URL = "127.0.0.1:8001"
EVERYTHING: dict[str, Any] = {"video": b"v", "image": [b"a", b"b"], "audio": b"s", "sensor": np.zeros((3, 6))}


def ask_blocking(recorded: Recorded, payloads: dict[str, Any], **options: Any) -> WeldInspection:
    with Client(URL, transport=recorded, **options) as client:
        return client.infer("weld_inspection", **payloads)


def ask_awaiting(recorded: Recorded, payloads: dict[str, Any], **options: Any) -> WeldInspection:
    async def ask() -> WeldInspection:
        async with AsyncClient(URL, transport=AsyncRecorded(recorded), **options) as client:
            return await client.infer("weld_inspection", **payloads)

    return asyncio.run(ask())


Ask = Callable[..., WeldInspection]
both_clients = pytest.mark.parametrize("ask", [ask_blocking, ask_awaiting])


def answered(status=(OK,) * 4, photos=(OK,) * 5) -> Recorded:
    return Recorded(Reply(weld_response(weld_outputs(status, photos))))


@both_clients
def test_an_answer_is_read_whole(ask: Ask) -> None:
    recorded = Recorded()
    weld = ask(recorded, EVERYTHING)
    assert recorded.closed
    assert weld.defect == "Porosity" and list(weld.scores) == ["Porosity", "Good", "Undercut"]
    assert weld.scores["Good"] == pytest.approx(0.2) and weld.anomaly_score == pytest.approx(0.8)
    assert weld.embedding.shape == (4,)
    assert {name: rows.shape for name, rows in weld.attention.items()} == {
        n: (4, k) for n, k in LENGTHS.items()
    }
    assert weld.status == dict.fromkeys(MODALITIES, Status.OK) and weld.usable == MODALITIES
    assert weld.image_status == (Status.OK, Status.OK)
    assert weld.version == "3" and weld.audio_window_s is None


@both_clients
def test_names_are_asked_of_the_server_once(ask: Ask) -> None:
    recorded = Recorded(config=Reply(config_response(class_names="x,y,z", audio_window_samples="80000")))
    weld = ask(recorded, EVERYTHING)
    assert weld.defect == "y" and weld.audio_window_s == 5.0
    assert [step.method for step in recorded.asked] == ["ModelConfig", "ModelInfer"]


def test_a_second_request_does_not_ask_for_names_again() -> None:
    recorded = Recorded()
    with Client(URL, transport=recorded) as client:
        client.infer("weld_inspection", video=b"v")
        client.infer("weld_inspection", audio=b"s")
    assert [step.method for step in recorded.asked] == ["ModelConfig", "ModelInfer", "ModelInfer"]


@both_clients
def test_a_degraded_answer_is_given_with_its_states(ask: Ask) -> None:
    recorded = answered((PARTIAL, PARTIAL, CORRUPT, ABSENT), (CORRUPT, OK, ABSENT, ABSENT, ABSENT))
    weld = ask(recorded, EVERYTHING | {"sensor": None})
    assert weld.status["audio"] is Status.CORRUPT and weld.usable == ("video", "image")
    assert weld.image_status == (Status.CORRUPT, Status.OK)
    assert weld.sent == ("video", "image", "audio")


@both_clients
def test_strict_refuses_a_degraded_answer_and_hands_it_over(ask: Ask) -> None:
    with pytest.raises(
        DegradedModality, match="got video OK, image PARTIAL, audio OK, sensor OK; record"
    ) as caught:
        ask(answered((OK, PARTIAL, OK, OK)), EVERYTHING, strict=True)
    assert caught.value.inspection.defect == "Porosity" and caught.value.status["image"] is Status.PARTIAL


@both_clients
def test_strict_does_not_mind_what_was_not_sent(ask: Ask) -> None:
    assert ask(answered((OK, ABSENT, ABSENT, ABSENT)), {"video": b"v"}, strict=True).usable == ("video",)


@both_clients
def test_strict_minds_what_was_sent_and_did_not_arrive(ask: Ask) -> None:
    with pytest.raises(DegradedModality, match="got video OK, audio ABSENT"):
        ask(answered((OK, ABSENT, ABSENT, ABSENT)), {"video": b"v", "audio": b"s"}, strict=True)


@both_clients
@pytest.mark.parametrize("strict", [False, True])
def test_an_answer_that_rests_on_nothing_is_always_an_error(ask: Ask, strict: bool) -> None:
    with pytest.raises(
        NoUsableModality, match="expected at least one usable modality, got audio CORRUPT; record"
    ):
        ask(answered((ABSENT, ABSENT, CORRUPT, ABSENT)), {"audio": b"s"}, strict=strict)


@both_clients
def test_a_result_becomes_plain_json(ask: Ask) -> None:
    plain = json.loads(json.dumps(ask(Recorded(), EVERYTHING).as_dict()))
    assert (
        plain["defect"] == "Porosity"
        and plain["status"]["video"] == "OK"
        and plain["image_status"] == ["OK", "OK"]
    )
    assert np.shape(plain["attention"]["sensor"]) == (4, 256)


def broken(change: Callable[[dict[str, np.ndarray]], None]) -> Reply:
    outputs = weld_outputs()
    change(outputs)
    return Reply(weld_response(outputs))


@both_clients
@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (
            broken(lambda o: o.pop("anomaly_score")),
            r"expected output anomaly_score of shape \(1,\), got nothing",
        ),
        (
            broken(lambda o: o.update(probabilities=np.ones((1, 9), np.float32))),
            r"probabilities of shape \(3,\), got \(9,\)",
        ),
        (
            broken(lambda o: o.update(modality_status=np.full((1, 4), 9, np.int32))),
            "expected status codes 0-3",
        ),
        (broken(lambda o: o.update(embedding=np.ones((0, 4), np.float32))), "expected one row per output"),
    ],
)
def test_an_answer_outside_the_contract_is_the_servers_fault(ask: Ask, reply: Reply, sentence: str) -> None:
    with pytest.raises(ServerFault, match=sentence):
        ask(Recorded(reply), EVERYTHING)


@both_clients
def test_bytes_that_do_not_fill_their_shape_are_the_servers_fault(ask: Ask) -> None:
    response = weld_response()
    response.raw_output_contents[2] = b""
    with pytest.raises(ServerFault, match="expected one row per output, got a broken one"):
        ask(Recorded(Reply(response)), EVERYTHING)


@both_clients
def test_a_server_that_states_no_names_is_at_fault(ask: Ask) -> None:
    with pytest.raises(ServerFault, match="expected the parameter class_names"):
        ask(Recorded(config=Reply(config_response(class_names=""))), EVERYTHING)


def test_a_mistyped_pipeline_is_answered_with_the_right_spelling() -> None:
    with pytest.raises(UnknownPipeline, match="got 'weld_inspectoin'; did you mean weld_inspection"):
        Client(URL, transport=Recorded()).infer("weld_inspectoin", video=b"v")


def test_a_mistyped_payload_is_answered_with_the_right_spelling() -> None:
    with pytest.raises(InvalidInput, match="got 'sensors'; did you mean sensor"):
        Client(URL, transport=Recorded()).infer("weld_inspection", sensors=b"x")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8001", "localhost"])
def test_a_url_is_host_and_port(url: str) -> None:
    with pytest.raises(ValueError, match=r"^url: expected host:port of the gRPC endpoint .*; leave out http"):
        Client(url, transport=Recorded())


def test_a_timeout_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^timeout_s: expected seconds above 0, got 0"):
        Client(URL, timeout_s=0, transport=Recorded())


def test_a_closed_client_says_so() -> None:
    client = Client(URL, transport=Recorded())
    client.close()
    with pytest.raises(RuntimeError, match="expected an open client, got a closed one"):
        client.infer("weld_inspection", video=b"v")
