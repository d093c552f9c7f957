"""The gate where a request is one photo without sizes and one text."""

import re

import numpy as np
import pytest

from serving.backends.gate.payloads import Limits, Refused, presence
from tests.serving.photo_and_text.words import TEXTS, encoded
from tests.serving.preprocess.files import photo

EITHER = {
    "modalities": "image,text",
    "image_max_bytes": "100000",
    "image_max_pixels": "100000",
    "text_max_bytes": "4096",
}
BOTH = {
    "modalities": "image,question",
    "image_max_bytes": "100000",
    "question_max_bytes": "60",
    "required": "image,question",
}
PHOTO = photo()
UNREADABLE = ("blanks", "invalid UTF-8", "UTF-8 that ends early", "UTF-16", "nothing")


def tensors(image: bytes = b"", text: str | bytes = "", name: str = "text") -> dict[str, np.ndarray]:
    return {"image": encoded(image)[None], name: encoded(text)[None]}


def refusal(parameters: dict[str, str], request: dict[str, np.ndarray]) -> Refused:
    with pytest.raises(Refused) as caught:
        presence(request, Limits.from_parameters(parameters))
    assert re.fullmatch(r"\w+: expected [^;\n]+, got [^;\n]+; [^;\n]+", str(caught.value)), str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("image", "text", "present"),
    [
        (PHOTO, "red", [True, True]),
        (PHOTO, "", [True, False]),
        (b"", "red", [False, True]),
        (PHOTO[:400], "red", [True, True]),
    ],
)
def test_present_says_what_came(image, text, present):
    assert presence(tensors(image, text), Limits.from_parameters(EITHER)).tolist() == [present]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_lone_photo_of_every_kind_passes(kind):
    assert presence(tensors(photo(kind)), Limits.from_parameters(EITHER)).tolist() == [[True, False]]


@pytest.mark.parametrize("name", [name for name in TEXTS if name not in UNREADABLE])
def test_every_text_with_something_to_see_passes(name):
    assert presence(tensors(text=TEXTS[name]), Limits.from_parameters(EITHER)).tolist() == [[False, True]]


@pytest.mark.parametrize(
    ("image", "text", "sentence"),
    [
        (
            b"",
            "",
            "request: expected at least one of image, text, got only empty payloads; send the bytes of at "
            "least one modality",
        ),
        (b"", b"red \xff", "text: expected UTF-8 text, got byte 0xff at 4; encode the text as UTF-8"),
        (
            b"",
            "red".encode("utf-16"),
            "text: expected UTF-8 text, got byte 0xff at 0; encode the text as UTF-8",
        ),
        (
            b"",
            "  \n ",
            "text: expected a visible character, got 4 blank characters; send a text of at least one word",
        ),
        (
            PHOTO,
            "\u200b",
            "text: expected a visible character, got one blank character; send a text of at least one word",
        ),
        (b"", "x" * 4097, "text: expected at most 4096 bytes, got 4097 bytes; shorten the text"),
        (
            b"GIF89a",
            "red",
            "image: expected JPEG, PNG or WebP, got a file that starts with 47 49 46 38 39 61; "
            "convert the photo",
        ),
        (
            photo("PNG", size=(400, 300)),
            "",
            "image: expected photos of 1 to 100000 pixels, got 400x300; scale the photo down",
        ),
        (
            PHOTO + bytes(100_000),
            "",
            f"image: expected at most 100000 bytes, got {len(PHOTO) + 100_000} bytes; "
            "shorten or compress the recording",
        ),
    ],
)
def test_a_refusal_says_what_to_change(image, text, sentence):
    refused = refusal(EITHER, tensors(image, text))
    assert str(refused) == sentence
    assert refused.modality == sentence.split(":")[0]


@pytest.mark.parametrize(
    ("image", "question", "sentence"),
    [
        (
            b"",
            "what color?",
            "image: expected image and question in every request, got an empty payload; "
            "send the bytes of the image too",
        ),
        (
            PHOTO,
            "",
            "question: expected image and question in every request, got an empty payload; "
            "send the bytes of the question too",
        ),
        (
            b"",
            "",
            "image: expected image and question in every request, got an empty payload; "
            "send the bytes of the image too",
        ),
        (
            PHOTO,
            " ",
            "question: expected a visible character, got one blank character; "
            "send a question of at least one word",
        ),
        (PHOTO, "?" * 61, "question: expected at most 60 bytes, got 61 bytes; shorten the question"),
    ],
)
def test_what_a_pipeline_requires_is_missed_by_name(image, question, sentence):
    assert str(refusal(BOTH, tensors(image, question, "question"))) == sentence


def test_two_texts_in_one_request_are_refused():
    two = tensors(PHOTO) | {"text": np.zeros((2, 9), np.uint8)}
    assert str(refusal(EITHER, two)).startswith(
        "text: expected one payload per request (batch 1), got shape 2x9"
    )


def test_a_gate_that_requires_what_it_does_not_know_does_not_load():
    with pytest.raises(ValueError, match="required: expected some of image, text, got question; correct"):
        Limits.from_parameters(EITHER | {"required": "image,question"})


def test_random_bytes_are_passed_or_refused_but_never_break_the_gate():
    limits, generator = Limits.from_parameters(EITHER), np.random.default_rng(0)
    for _ in range(200):
        try:
            presence(tensors(text=generator.bytes(int(generator.integers(0, 40)))), limits)
        except Refused as refused:
            assert refused.modality in ("request", "text")
