"""What travels for an image and for words, and what is refused before anything does."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crossfuse import InvalidInput
from crossfuse._image_text import text_bytes, vision_language_tensors, visual_question_tensors
from crossfuse._payloads import InputTensor, weld_tensors
from crossfuse._png import png_bytes
from PIL import Image

from serving.backends.gate.payloads import Limits, Refused, check_text

RED = np.full((2, 3, 3), (200, 10, 20), np.uint8)


def test_an_image_and_a_text_travel_as_their_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"PNG")
    for image in (tmp_path / "a.png", str(tmp_path / "a.png"), b"PNG", [b"PNG"], (tmp_path / "a.png",)):
        assert vision_language_tensors({"image": image, "text": "é?"}) == [
            InputTensor("image", "UINT8", (1, 3), b"PNG"),
            InputTensor("text", "UINT8", (1, 3), b"\xc3\xa9?"),
        ]


def test_what_is_left_out_travels_as_zero_bytes() -> None:
    assert [t.shape for t in vision_language_tensors({"image": b"PNG"})] == [(1, 3), (1, 0)]
    assert [t.shape for t in vision_language_tensors({"text": "red", "image": []})] == [(1, 0), (1, 3)]


def test_a_question_travels_beside_its_image() -> None:
    tensors = visual_question_tensors({"image": b"PNG", "question": b"red?"})
    assert [(tensor.name, tensor.data) for tensor in tensors] == [("image", b"PNG"), ("question", b"red?")]


def test_bytes_travel_as_they_are_for_the_server_to_judge() -> None:
    assert text_bytes("text", b"\xff\xfe") == b"\xff\xfe" == text_bytes("text", bytearray(b"\xff\xfe"))


@pytest.mark.parametrize(
    "pixels", [RED, RED[..., 0], RED[:, ::2], np.arange(12, dtype=np.uint8).reshape(4, 3)]
)
def test_an_array_of_pixels_travels_as_a_file_that_holds_exactly_them(pixels: np.ndarray) -> None:
    sent = vision_language_tensors({"image": pixels})[0].data
    with Image.open(io.BytesIO(sent)) as picture:
        assert picture.format == "PNG"
        np.testing.assert_array_equal(np.asarray(picture), pixels)


def test_photos_of_a_weld_may_be_arrays_too() -> None:
    one, several = weld_tensors({"image": RED}), weld_tensors({"image": [RED, b"JPEG"]})
    assert one[1].data == png_bytes("image", RED) and several[1].data == one[1].data + b"JPEG"


@pytest.mark.parametrize(
    "pixels",
    [RED.astype(np.float32), RED[0, 0], np.zeros((0, 3, 3), np.uint8), np.zeros((2, 2, 4), np.uint8)],
)
def test_other_arrays_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match=r"^image: expected uint8 pixels of shape .*, got .*; convert it"):
        vision_language_tensors({"image": pixels})


@pytest.mark.parametrize(
    ("payloads", "sentence"),
    [
        ({}, "vision_language: expected at least one of image, text, got none; pass one"),
        ({"image": None, "text": None}, "vision_language: expected at least one of image, text, got none"),
        ({"image": [b"a", b"b"]}, "image: expected one image, got 2; ask once for each"),
        ({"image": "gone.png"}, "image: expected a readable file, got gone.png"),
        ({"image": b""}, "image: expected a recording, got an empty bytes object"),
        ({"image": 7}, "image: expected a path or the file's bytes, got int"),
        ({"text": 7}, "text: expected the words themselves, got int; pass a str or UTF-8 bytes"),
        ({"text": Path("a.txt")}, "text: expected the words themselves, got PosixPath; pass"),
        ({"text": "a \ud800"}, r"text: expected UTF-8 text, got '\\ud800', half of a surrogate pair"),
        ({"image": b"PNG", "text": ""}, "text: expected a visible character, got an empty text; send a text"),
    ],
)
def test_what_cannot_be_sent_is_refused(payloads: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{sentence}"):
        vision_language_tensors(payloads)


@pytest.mark.parametrize(("lacks", "has"), [("image", {"question": "red?"}), ("question", {"image": b"PNG"})])
def test_a_question_without_an_image_is_refused_and_the_other_way_round(lacks: str, has: dict) -> None:
    sentence = f"^{lacks}: expected image and question in every request, got none; pass the {lacks} too$"
    with pytest.raises(InvalidInput, match=sentence):
        visual_question_tensors(has)


@pytest.mark.parametrize("name", ["text", "question"])
@pytest.mark.parametrize("words", [" ", "  \n\t", "\u00a0\u3000", "\u200b\ufeff", "?", " é ", "\ufeffred"])
def test_words_that_cannot_be_seen_are_refused_exactly_as_the_server_does(name: str, words: str) -> None:
    said: list[str] = []
    for check in (
        text_bytes,
        lambda name, text: check_text(name, text.encode(), Limits((name,), {name: 99})),
    ):
        try:
            check(name, words)
        except (InvalidInput, Refused) as refusal:
            said.append(str(refusal))
    assert len(said) in (0, 2) and len(set(said)) <= 1
    assert bool(said) == (not words.replace("\u200b", "").replace("\ufeff", "").strip())
