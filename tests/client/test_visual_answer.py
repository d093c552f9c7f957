"""A question about an image: how the answer and its evidence are read, and what is no answer."""

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
    NoUsableModality,
    ServerFault,
    Status,
    VisualAnswer,
)
from crossfuse._conversation import Reply

from tests.client.image_text_outputs import CORRUPT, OK, PARTIAL, VISUAL_QUESTION, texts, told_outputs
from tests.client.stand_ins import AsyncRecorded, Recorded, response_of, stated

URL = "127.0.0.1:8001"


def ask_blocking(recorded: Recorded, **options: Any) -> VisualAnswer:
    with Client(URL, transport=recorded, **options) as client:
        return client.infer("visual_question_answering", image=b"PNG", question="what colour?")


def ask_awaiting(recorded: Recorded, **options: Any) -> VisualAnswer:
    async def ask() -> VisualAnswer:
        async with AsyncClient(URL, transport=AsyncRecorded(recorded), **options) as client:
            return await client.infer("visual_question_answering", image=b"PNG", question="what colour?")

    return asyncio.run(ask())


Ask = Callable[..., VisualAnswer]
both_clients = pytest.mark.parametrize("ask", [ask_blocking, ask_awaiting])


def answered(status=(OK, OK), **changed: np.ndarray) -> Recorded:
    reply = Reply(response_of(told_outputs(status) | changed))
    return Recorded(reply, config=Reply(stated(VISUAL_QUESTION)))


@both_clients
def test_an_answer_is_read_whole(ask: Ask) -> None:
    told = ask(answered())
    assert (told.answer, told.probability, told.caption_answer) == ("red", 0.875, "circle")
    assert told.captions == ("a red circle", "a circle é", "a red circle")
    assert told.relevance.tolist() == [[0.0, 4.0], [1.0, 2.0]] and told.peak == (0, 1)
    assert told.matching_score == 0.75
    assert told.status == {"image": Status.OK, "question": Status.OK} and told.version == "3"


def test_captions_that_came_empty_are_left_out() -> None:
    assert ask_blocking(answered(captions=texts("", "a circle", ""))).captions == ("a circle",)


def test_a_map_without_relevance_has_no_peak() -> None:
    assert ask_blocking(answered(relevance=np.zeros((1, 2, 2), np.float32))).peak is None


@both_clients
def test_a_question_that_was_cut_is_answered_and_said(ask: Ask) -> None:
    assert ask(answered((OK, PARTIAL))).answer == "red"
    with pytest.raises(
        DegradedModality, match=r"question PARTIAL; send a whole image, or a shorter question"
    ):
        ask(answered((OK, PARTIAL)), strict=True)


@both_clients
@pytest.mark.parametrize("strict", [False, True])
def test_no_question_is_answered_about_an_image_that_cannot_be_read(ask: Ask, strict: bool) -> None:
    with pytest.raises(
        NoUsableModality,
        match=r"^visual_question_answering: expected image and question to be usable, got image CORRUPT, "
        r"question OK; send another image$",
    ) as caught:
        ask(answered((CORRUPT, OK)), strict=strict)
    assert caught.value.answer.answer == "" and caught.value.answer.captions == ()


@both_clients
def test_a_result_becomes_plain_json(ask: Ask) -> None:
    plain = json.loads(json.dumps(ask(answered()).as_dict()))
    assert (plain["answer"], plain["caption_answer"], plain["peak"]) == ("red", "circle", [0, 1])
    assert plain["captions"][1] == "a circle é" and plain["relevance"] == [[0.0, 4.0], [1.0, 2.0]]
    assert plain["status"] == {"image": "OK", "question": "OK"}


@both_clients
@pytest.mark.parametrize(
    ("recorded", "sentence"),
    [
        (answered(answer=texts("a", "b")), r"expected output answer of shape \(1,\), got \(2,\)"),
        (
            answered(answer=np.ones((1, 1), np.float32)),
            "expected output answer to be text, got float32; server and client disagree",
        ),
        (
            answered(answer=np.array([[b"\xff"]], object)),
            r"expected output answer to be UTF-8 text, got b'\\xff'; server",
        ),
        (answered(relevance=np.ones((1, 2, 3), np.float32)), r"relevance of shape \(2, 2\), got \(2, 3\)"),
        (answered(matching_score=texts("a")), "expected output matching_score to be numbers, got text"),
    ],
)
def test_an_answer_outside_the_contract_is_the_servers_fault(
    ask: Ask, recorded: Recorded, sentence: str
) -> None:
    with pytest.raises(ServerFault, match=sentence):
        ask(recorded)


@both_clients
@pytest.mark.parametrize("packed", [b"\x03\x00\x00\x00re", b"\x03", b"\x03\x00\x00\x00red\x01\x00\x00\x00x"])
def test_a_text_that_is_cut_off_is_the_servers_fault(ask: Ask, packed: bytes) -> None:
    response = response_of(told_outputs())
    response.raw_output_contents[0] = packed
    with pytest.raises(
        ServerFault, match=r"expected (one row per output, got a broken one|output answer of)"
    ):
        ask(Recorded(Reply(response), config=Reply(stated(VISUAL_QUESTION))))
