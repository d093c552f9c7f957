"""A photo and a question in; an answer, captions, the answer they give and a heat map out."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from crossfuse import AsyncClient, Client, CrossfuseError, InvalidInput, NoUsableModality
from crossfuse import Status as State
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

import serving
from export.budgets import budget_of
from export.golden_questions import QuestionItem
from multimodal.visual_question.presets import VISUAL_QUESTION_PRESETS
from tests.end_to_end import questions
from tests.end_to_end.questions import QUESTION, Answer, Ask
from training.decoding import Status

pytestmark = pytest.mark.slow

PRESET = VISUAL_QUESTION_PRESETS[questions.PRESETS[QUESTION]]
ANSWERS = 13
REQUESTS = 48
PARITY = 1e-4  # engines round differently in batches of other sizes
TEXTS = ("answer", "captions", "caption_answer")


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> tuple[Path, Path]:
    """A repository and the weights that it was made from."""
    return questions.served_models(QUESTION, tmp_path_factory.mktemp("questions"))


@pytest.fixture(scope="module")
def weights(models) -> Path:
    return models[1]


@pytest.fixture(scope="module")
def address(models) -> Iterator[serving.Address]:
    with serving.running([QUESTION], models[0]) as address:
        yield address


@pytest.fixture(scope="module")
def ask(address) -> Iterator[Ask]:
    with InferenceServerClient(address.grpc) as client:
        yield questions.asking(client, QUESTION)


@pytest.fixture(scope="module")
def items() -> list[QuestionItem]:
    return questions.items(QUESTION)


@pytest.fixture(scope="module")
def served(ask, items) -> dict[str, Answer]:
    return {item.id: ask(item) for item in items}


@pytest.fixture(scope="module")
def expected(items, weights) -> dict[str, Answer]:
    return questions.pytorchs(QUESTION, items, weights)


def test_numbers_are_pytorchs_and_the_map_is_that_of_autograd(served, expected, items):
    for item in items:
        answer, known = served[item.id], expected[item.id]
        assert answer.keys() == known.keys()
        assert np.array_equal(answer["modality_status"], known["modality_status"]), item.id
        for name, tolerance in budget_of(QUESTION).tolerances.items():
            np.testing.assert_allclose(answer[name], known[name], atol=tolerance, err_msg=f"{item.id} {name}")


def test_texts_are_pytorchs(served, expected, items):
    others = {
        name: [
            item.id for item in items if not np.array_equal(served[item.id][name], expected[item.id][name])
        ]
        for name in TEXTS
    }
    assert others["answer"] == []
    for name, least in (("captions", 0.6), ("caption_answer", 0.8)):
        # A photo that is a few levels off lets another word be drawn now and then.
        assert len(others[name]) <= (1 - least) * len(items), others


def test_an_answer_brings_its_evidence(served, items):
    for item in items[:ANSWERS]:
        answer = served[item.id]
        assert answer["modality_status"].tolist() == [Status.OK, Status.OK]
        assert answer["answer"].shape == answer["caption_answer"].shape == (1,)
        assert 0 < answer["answer_probability"][0] <= 1
        assert answer["captions"].shape == (PRESET.captions,)
        assert answer["relevance"].shape == (PRESET.grid, PRESET.grid)
        assert (answer["relevance"] >= 0).all()
        assert answer["relevance"].any()
        assert 0 <= answer["matching_score"][0] <= 1


def test_a_photo_that_ends_half_way_gives_no_answer_and_a_question_too_long_is_cut(served, items):
    cut, long = (served[item.id] for item in items[ANSWERS:])
    assert cut["modality_status"].tolist() == [Status.CORRUPT, Status.OK]
    assert cut["answer"].tolist() == cut["caption_answer"].tolist() == [""]
    assert set(cut["captions"].tolist()) == {""}
    assert not any(cut[name].any() for name in ("relevance", "matching_score", "answer_probability"))
    assert long["modality_status"].tolist() == [Status.OK, Status.PARTIAL]
    assert long["answer_probability"][0] > 0


REFUSED = {
    "no question": ({"question": b""}, "question: "),
    "no photo": ({"image": b""}, "image: "),
    "not UTF-8": ({"question": b"is it \xff\xfe red"}, "question: expected UTF-8"),
    "no photo's bytes": ({"image": b"not a photo at all"}, "image: "),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_the_callers_fault_is_refused_with_a_sentence(ask, items, name):
    changes, sentence = REFUSED[name]
    with pytest.raises(InferenceServerException, match=sentence) as caught:
        ask(replace(items[0], **changes))
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_a_question_that_quotes_special_tokens_or_knows_no_word_is_answered(ask, items):
    for question in ("[SEP] [PAD] is it red?", "qwertz äöü 漢字", "is it red? " * 3):
        answer = ask(replace(items[0], question=question.encode()))
        assert answer["modality_status"][0] == Status.OK
        assert answer["answer_probability"][0] > 0


async def outcome(client: AsyncClient, item: QuestionItem):
    try:
        return await client.infer(QUESTION, image=item.image, question=item.question)
    except CrossfuseError as error:
        return error


async def ask_together(url: str, asked: list[QuestionItem]) -> list:
    async with AsyncClient(url, timeout_s=300) as client:
        return await asyncio.gather(*(outcome(client, item) for item in asked))


def test_mixed_requests_at_once_get_what_they_would_have_got_alone(address, items):
    kinds = [*items, replace(items[0], id="not UTF-8", question=b"\xff\xfe")]
    alone = {item.id: asyncio.run(ask_together(address.grpc, [item]))[0] for item in kinds}
    asked = [kinds[index % len(kinds)] for index in range(REQUESTS)]
    together = asyncio.run(ask_together(address.grpc, asked))
    for item, answer in zip(asked, together, strict=True):
        known = alone[item.id]
        if isinstance(known, CrossfuseError):
            assert (type(answer), str(answer)) == (type(known), str(known))
            continue
        assert not isinstance(answer, CrossfuseError), f"{item.id}: {answer}"
        assert answer.status == known.status
        assert (answer.answer, answer.captions, answer.caption_answer) == (
            known.answer,
            known.captions,
            known.caption_answer,
        ), item.id
        assert answer.probability == pytest.approx(known.probability, abs=PARITY)
        np.testing.assert_allclose(answer.relevance, known.relevance, atol=PARITY)
    assert isinstance(alone["not UTF-8"], InvalidInput)
    assert isinstance(alone[items[ANSWERS].id], NoUsableModality)


def test_the_client_gives_the_answer_as_words(address, items, served):
    item = items[0]
    with Client(address.grpc) as client:
        told = client.infer(QUESTION, image=item.image, question=item.question.decode())
    assert told.status == {"image": State.OK, "question": State.OK}
    assert told.answer == served[item.id]["answer"][0]
    assert told.captions == tuple(served[item.id]["captions"].tolist())
    assert told.relevance.shape == (PRESET.grid, PRESET.grid)
