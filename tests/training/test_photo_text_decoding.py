"""The reference of what becomes of a photo and a text."""

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from tests.serving.photo_and_text.words import END, IDS, START, tokenizer
from tests.serving.preprocess.files import photo
from training.decoding import Status, decode_photo
from training.photo_text_decoding import TextReader, decode_pair


@pytest.fixture(scope="module")
def reader() -> TextReader:
    return TextReader(tokenizer(), 5)


def test_a_text_lies_between_two_marks_and_before_zeros(reader):
    found = reader(b"Red?")
    assert found.input_ids.tolist() == [START, IDS["red"], IDS["?"], END, 0]
    assert found.attention_mask.tolist() == [1, 1, 1, 1, 0]
    assert found.status == Status.OK


@pytest.mark.parametrize(
    ("text", "status", "tokens"),
    [
        (b"red red red", Status.OK, 5),
        (b"red red red red", Status.PARTIAL, 5),
        (b"   ", Status.CORRUPT, 0),
        (b"\xc3", Status.CORRUPT, 0),
        (b"", Status.ABSENT, 0),
    ],
)
def test_a_text_has_one_status(reader, text, status, tokens):
    found = reader(text)
    assert (found.status, found.attention_mask.sum()) == (status, tokens)
    assert found.input_ids.any() == status.usable


def test_the_tokenizer_that_is_given_stays_as_it_is():
    given = tokenizer()
    given.enable_truncation(3)
    TextReader(given, 5)
    assert given.truncation["max_length"] == 3
    assert not given.encode_special_tokens


def test_a_tokenizer_without_marks_is_refused():
    with pytest.raises(ValueError, match="expected two special tokens around a text"):
        TextReader(Tokenizer(models.WordLevel(IDS, unk_token="[UNK]")), 5)


def test_a_pair_is_decoded_part_by_part(reader):
    pair = decode_pair(photo("PNG"), b"red", 32, reader)
    assert pair.pixels.shape == (1, 32, 32, 3)
    assert pair.statuses.tolist() == [Status.OK, Status.OK]
    lone = decode_pair(b"", b"red", 32, reader)
    assert lone.statuses.tolist() == [Status.ABSENT, Status.OK]
    assert not lone.pixels.any()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (photo(), Status.OK),
        (b"", Status.ABSENT),
        (photo()[:300], Status.CORRUPT),
        (b"GIF89a", Status.CORRUPT),
    ],
)
def test_a_photo_has_one_status(data, status):
    pixels, found = decode_photo(data, 16)
    assert found == status
    assert pixels.any() == status.usable
    assert pixels.dtype == np.uint8
