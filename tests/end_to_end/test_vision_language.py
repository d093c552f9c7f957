"""A photo and a text in, answers and embeddings out; one of them alone gets its embedding."""

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
from export.golden_questions import ALONE, QuestionItem
from serving.control import REPOSITORY
from serving.required import precision_of
from tests.end_to_end import questions
from tests.end_to_end.questions import PAIR, Answer, Ask
from training.decoding import Status
from training.easy_vqa import answer_names

pytestmark = pytest.mark.slow

ANSWERS = 13
PARITY = 1e-4  # engines round differently in batches of other sizes
REQUESTS = 64


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> tuple[Path, Path]:
    """A repository and the weights that it was made from."""
    return questions.served_models(PAIR, tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def weights(models) -> Path:
    return models[1]


@pytest.fixture(scope="module")
def address(models) -> Iterator[serving.Address]:
    with serving.running([PAIR], models[0]) as address:
        yield address


@pytest.fixture(scope="module")
def ask(address) -> Iterator[Ask]:
    with InferenceServerClient(address.grpc) as client:
        yield questions.asking(client, PAIR)


@pytest.fixture(scope="module")
def items() -> list[QuestionItem]:
    return questions.items(PAIR)


@pytest.fixture(scope="module")
def served(ask, items) -> dict[str, Answer]:
    return {item.id: ask(item) for item in items}


def test_the_served_answer_is_pytorchs(served, items, weights):
    budget = budget_of(PAIR, precision_of(REPOSITORY, PAIR))
    expected = questions.pytorchs(PAIR, items, weights)
    for item in items:
        answer = served[item.id]
        assert answer.keys() == expected[item.id].keys()
        assert np.array_equal(answer["modality_status"], expected[item.id]["modality_status"]), item.id
        for name in budget.tolerances:
            limit = budget.tolerance(name, item.modalities)
            np.testing.assert_allclose(answer[name], expected[item.id][name], atol=limit, err_msg=item.id)
        named, known = (one["answer_probabilities"].argmax() for one in (answer, expected[item.id]))
        assert named == known, item.id


def test_a_photo_with_a_text_is_answered_and_embedded(served, items):
    for item in items[:ANSWERS]:
        answer = served[item.id]
        assert answer["modality_status"].tolist() == [Status.OK, Status.OK]
        assert answer["answer_probabilities"].sum() == pytest.approx(1, abs=1e-5)
        for name in ("image_embedding", "text_embedding", "fused_embedding"):
            assert np.linalg.norm(answer[name]) == pytest.approx(1, abs=1e-5), name


def test_embeddings_alone_are_those_of_the_pair(ask, items):
    whole = items[0]
    both, photo, text = (ask(one) for one in (whole, replace(whole, question=b""), replace(whole, image=b"")))
    np.testing.assert_allclose(photo["image_embedding"], both["image_embedding"], atol=PARITY)
    np.testing.assert_allclose(text["text_embedding"], both["text_embedding"], atol=PARITY)
    assert photo["modality_status"].tolist() == [Status.OK, Status.ABSENT]
    assert text["modality_status"].tolist() == [Status.ABSENT, Status.OK]
    for answer, missing in ((photo, "text_embedding"), (text, "image_embedding")):
        assert not any(answer[name].any() for name in (missing, "fused_embedding", "answer_probabilities"))


def test_a_photo_that_ends_half_way_leaves_the_text_and_a_text_too_long_is_cut(served, items):
    cut, long = (served[item.id] for item in items[ANSWERS : ANSWERS + 2])
    assert cut["modality_status"].tolist() == [Status.CORRUPT, Status.OK]
    assert not cut["image_embedding"].any()
    assert cut["text_embedding"].any()
    assert long["modality_status"].tolist() == [Status.OK, Status.PARTIAL]
    assert long["answer_probabilities"].sum() == pytest.approx(1, abs=1e-5)


REFUSED = {
    "not UTF-8": ({"question": b"is it \xff\xfe red"}, "text: expected UTF-8"),
    "only blanks": ({"question": b" \n\t "}, "text: "),
    "no photo's bytes": ({"image": b"not a photo at all"}, "image: "),
    "nothing": ({"image": b"", "question": b""}, "request: |image"),
    "a book": ({"question": b"is it red " * 500}, "text: "),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_the_callers_fault_is_refused_with_a_sentence(ask, items, name):
    changes, sentence = REFUSED[name]
    with pytest.raises(InferenceServerException, match=sentence) as caught:
        ask(replace(items[0], **changes))
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_the_client_names_the_answer_and_ranks_by_embeddings(address, items, served):
    item = items[0]
    with Client(address.grpc) as client:
        pair = client.infer(PAIR, image=item.image, text=item.question.decode())
        assert pair.status == {"image": State.OK, "text": State.OK}
        assert pair.answer == answer_names()[int(served[item.id]["answer_probabilities"].argmax())]
        alone = client.infer(PAIR, image=item.image)
        assert alone.status == {"image": State.OK, "text": State.ABSENT}
        with pytest.raises(InvalidInput, match="text: expected UTF-8"):
            client.infer(PAIR, image=item.image, text=b"\xff\xfe")


def payloads(item: QuestionItem) -> dict[str, bytes]:
    sent = {"image": item.image, "text": item.question}
    return {name: payload for name, payload in sent.items() if payload}


async def outcome(client: AsyncClient, item: QuestionItem):
    try:
        return await client.infer(PAIR, **payloads(item))
    except CrossfuseError as error:
        return error


async def ask_together(url: str, asked: list[QuestionItem]) -> list:
    async with AsyncClient(url, timeout_s=300) as client:
        return await asyncio.gather(*(outcome(client, item) for item in asked))


def test_sixty_four_mixed_requests_get_what_they_would_have_got_alone(address, items):
    kinds = [*items, replace(items[0], id="not UTF-8", question=b"\xff\xfe")]
    kinds.append(replace(items[ANSWERS], id="nothing readable", question=b""))
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
        for name in ("image_embedding", "text_embedding", "fused_embedding"):
            pairs = getattr(answer, name), getattr(known, name)
            assert [one is None for one in pairs].count(True) in (0, 2)
            if pairs[0] is not None:
                np.testing.assert_allclose(*pairs, atol=PARITY, err_msg=f"{item.id} {name}")
    assert isinstance(alone["nothing readable"], NoUsableModality)
    assert isinstance(alone["not UTF-8"], InvalidInput)
    assert len(kinds) == ANSWERS + 2 + 2 * ALONE + 2
