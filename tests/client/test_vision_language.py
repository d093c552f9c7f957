"""An image and a text: how their answer is read, and whose fault it is when it cannot be."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import grpc
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
    VisionLanguage,
)
from crossfuse._conversation import Reply

from tests.client.image_text_outputs import (
    ABSENT,
    CORRUPT,
    OK,
    PARTIAL,
    VISION_LANGUAGE,
    pair_outputs,
    texts,
)
from tests.client.stand_ins import AsyncRecorded, Recorded, refused, response_of, stated

URL = "127.0.0.1:8001"
BOTH: dict[str, Any] = {"image": b"PNG", "text": "what colour is it?"}


def ask_blocking(recorded: Recorded, payloads: dict[str, Any] = BOTH, **options: Any) -> VisionLanguage:
    with Client(URL, transport=recorded, **options) as client:
        return client.infer("vision_language", **payloads)


def ask_awaiting(recorded: Recorded, payloads: dict[str, Any] = BOTH, **options: Any) -> VisionLanguage:
    async def ask() -> VisionLanguage:
        async with AsyncClient(URL, transport=AsyncRecorded(recorded), **options) as client:
            return await client.infer("vision_language", **payloads)

    return asyncio.run(ask())


Ask = Callable[..., VisionLanguage]
both_clients = pytest.mark.parametrize("ask", [ask_blocking, ask_awaiting])


def answered(status=(OK, OK), config: dict[str, str] | None = None, **changed: np.ndarray) -> Recorded:
    reply = Reply(response_of(pair_outputs(status) | changed))
    return Recorded(reply, config=Reply(stated(VISION_LANGUAGE | (config or {}))))


@both_clients
def test_an_answer_is_read_whole(ask: Ask) -> None:
    recorded = answered()
    pair = ask(recorded)
    assert (pair.answer, pair.probability) == ("red", pytest.approx(0.7))
    assert list(pair.probabilities) == ["red", "circle", "no"]
    assert pair.similarity == pytest.approx(0.6)
    assert pair.fused_embedding is not None and pair.fused_embedding.shape == (3,)
    assert pair.status == {"image": Status.OK, "text": Status.OK} and pair.sent == ("image", "text")
    assert [step.method for step in recorded.asked] == ["ModelConfig", "ModelInfer"]


@both_clients
def test_an_image_alone_gives_its_embedding_and_no_answer(ask: Ask) -> None:
    pair = ask(answered((OK, ABSENT)), {"image": b"PNG"}, strict=True)
    assert pair.image_embedding is not None and pair.image_embedding.tolist() == [1.0, 0.0]
    assert pair.text_embedding is pair.fused_embedding is pair.answer is pair.probability is None
    assert pair.similarity is None and pair.probabilities == {} and pair.usable == ("image",)


@both_clients
def test_a_text_alone_gives_its_embedding(ask: Ask) -> None:
    pair = ask(answered((ABSENT, OK)), {"text": "a red circle"})
    assert pair.text_embedding is not None and pair.image_embedding is None and pair.sent == ("text",)


@both_clients
def test_a_text_that_was_cut_is_used_and_said(ask: Ask) -> None:
    assert ask(answered((OK, PARTIAL))).answer == "red"
    with pytest.raises(
        DegradedModality,
        match=r"got image OK, text PARTIAL; send a whole image, or a shorter text, or accept",
    ):
        ask(answered((OK, PARTIAL)), strict=True)


@both_clients
def test_beside_a_broken_image_the_text_still_has_its_embedding(ask: Ask) -> None:
    pair = ask(answered((CORRUPT, OK)))
    assert pair.answer is None and pair.image_embedding is None and pair.text_embedding is not None


@both_clients
def test_a_broken_image_alone_is_always_an_error(ask: Ask) -> None:
    with pytest.raises(
        NoUsableModality,
        match=r"^vision_language: expected at least one usable modality, got image CORRUPT; send another",
    ):
        ask(answered((CORRUPT, ABSENT)), {"image": b"PNG"})


@both_clients
@pytest.mark.parametrize("status", [(OK, OK), (OK, ABSENT)])
def test_a_result_becomes_plain_json(ask: Ask, status: tuple[int, int]) -> None:
    plain = json.loads(json.dumps(ask(answered(status)).as_dict()))
    assert plain["image_embedding"] == [1.0, 0.0] and plain["status"]["image"] == "OK"
    if status == (OK, OK):
        assert plain["answer"] == "red" and plain["fused_embedding"] == [0.5, 0.5, 0.5]
    else:
        assert plain["answer"] is plain["similarity"] is plain["text_embedding"] is None


@both_clients
@pytest.mark.parametrize(
    ("recorded", "sentence"),
    [
        (answered(config={"class_names": "a,b"}), r"answer_probabilities of shape \(2,\), got \(3,\)"),
        (answered(config={"class_names": ""}), "expected the parameter class_names in its configuration"),
        (answered(text_embedding=np.ones((1, 3), np.float32)), r"text_embedding of shape \(2,\), got \(3,\)"),
        (
            answered(fused_embedding=texts("a", "b")),
            r"^vision_language: expected output fused_embedding to be numbers, got text; server and client",
        ),
    ],
)
def test_an_answer_outside_the_contract_is_the_servers_fault(
    ask: Ask, recorded: Recorded, sentence: str
) -> None:
    with pytest.raises(ServerFault, match=sentence):
        ask(recorded)


@pytest.mark.parametrize(
    "said",
    [
        "text: expected at most 4096 bytes, got 5000 bytes; shorten the text",
        "text: expected UTF-8 text, got byte 0xff at 0; encode the text as UTF-8",
    ],
)
def test_what_only_the_server_can_refuse_reads_as_one_sentence(said: str) -> None:
    recorded = Recorded(
        refused(grpc.StatusCode.INVALID_ARGUMENT, said), config=Reply(stated(VISION_LANGUAGE))
    )
    with pytest.raises(InvalidInput) as caught:
        ask_blocking(recorded, {"text": b"\xff" * 5000})
    assert str(caught.value) == (
        f"vision_language at {URL}: expected an answer, got INVALID_ARGUMENT ({said}); "
        "correct the input before sending it again"
    )


def test_nothing_is_sent_that_the_server_would_refuse_for_certain() -> None:
    recorded = answered()
    with pytest.raises(InvalidInput, match=r"^text: expected a visible character, got 3 blank characters"):
        ask_blocking(recorded, {"text": "   "})
    assert not recorded.asked
