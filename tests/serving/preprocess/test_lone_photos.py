"""Models that take one photo, beside a text that another step reads."""

import io

import numpy as np
import pytest
from PIL import Image

from serving.backends.dali.contract import Contract, Status
from tests.serving.preprocess.conftest import Reader, committed_contract
from tests.serving.preprocess.files import photo, picture
from training.decoding import decode_photo

SMALL = ("vision_language_small_preprocess", "visual_question_answering_small_preprocess")
SIZES = [(64, 64), (160, 120), (641, 479), (9, 300)]


@pytest.fixture(scope="module", params=SMALL)
def read_lone(request):
    reader = Reader(request.param)
    yield reader
    reader.preprocess.close()


def asked(reader: Reader, *photos: bytes) -> list[dict[str, np.ndarray]]:
    """One answer per photo; a text is always there, and nobody here reads it."""
    text = reader.contract.present[1]
    requests = [{"image": np.frombuffer(data, np.uint8), text: np.ones(3, np.uint8)} for data in photos]
    return reader(*requests)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("kind", "mode"), [("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGB"), ("PNG", "RGBA"), ("WEBP", "RGB")]
)
def test_a_photo_differs_from_the_reference_by_a_level_at_most(read_lone, kind, mode, size):
    data = photo(kind, mode, size=size)
    (answer,) = asked(read_lone, data)
    reference, status = decode_photo(data, read_lone.contract.dims("image")[1])
    assert answer["image_status"].tolist() == [status] == [Status.OK]
    assert np.abs(answer["image_pixels"][0].astype(int) - reference).max() <= 1


def test_what_can_be_seen_through_keeps_its_colour(read_lone):
    clear = picture().convert("RGBA")
    clear.putalpha(0)
    stream = io.BytesIO()
    clear.save(stream, "PNG")
    (answer,) = asked(read_lone, stream.getvalue())
    (opaque,) = asked(read_lone, photo("PNG"))
    assert np.array_equal(answer["image_pixels"], opaque["image_pixels"])


def test_sixteen_bits_of_grey_differ_by_two_levels_at_most(read_lone):
    """DALI scales 65,535 to 255, the reference cuts the lower byte off: up to one level more."""
    grey = np.asarray(picture().convert("L")).astype(np.uint16) << 8
    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, "PNG")
    data = stream.getvalue()
    (answer,) = asked(read_lone, data)
    reference, _ = decode_photo(data, read_lone.contract.dims("image")[1])
    assert np.abs(answer["image_pixels"][0].astype(int) - reference).max() <= 2


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", Status.ABSENT),
        (photo()[:700], Status.CORRUPT),
        (photo("PNG")[:200], Status.CORRUPT),
        (b"\xff\xd8\xffno", Status.CORRUPT),
        (b"\x89PNG\r\n\x1a\n", Status.CORRUPT),
    ],
)
def test_a_photo_that_cannot_be_read_is_zeros_and_a_status_as_in_the_reference(read_lone, data, status):
    (answer,) = asked(read_lone, data)
    assert answer["image_status"].tolist() == [status]
    assert answer["image_valid"].tolist() == [False]
    assert not answer["image_pixels"].any()
    assert decode_photo(data, 32)[1] == status


def test_a_batch_of_good_broken_and_absent_photos_is_answered_row_by_row(read_lone):
    photos = [
        photo(seed=1),
        photo()[:700],
        b"",
        photo("PNG", seed=2),
        b"\xff\xd8\xffno",
        photo("WEBP", seed=3),
    ]
    answers = asked(read_lone, *photos)
    found = [int(answer["image_status"][0]) for answer in answers]
    ok, absent, corrupt = Status.OK, Status.ABSENT, Status.CORRUPT
    assert found == [ok, corrupt, absent, ok, corrupt, ok]
    for data, answer in zip(photos, answers, strict=True):
        (alone,) = asked(read_lone, data)
        assert all(np.array_equal(answer[name], alone[name]) for name in alone)


def test_the_answer_has_the_outputs_of_the_configuration_and_no_others(read_lone):
    (answer,) = asked(read_lone, photo())
    assert list(answer) == ["image_pixels", "image_valid", "image_status"]
    assert {name: value.shape for name, value in answer.items()} == {
        name: shape for name, (shape, _) in read_lone.contract.outputs.items()
    }


def test_the_column_of_a_modality_is_found_by_name():
    contract = committed_contract(SMALL[0])
    assert contract.present_columns == (0,)
    swapped = Contract(("image",), contract.outputs, present=("text", "image"))
    assert swapped.present_columns == (1,)
    with pytest.raises(ValueError, match="present: expected image among the names of its columns, got text"):
        Contract(("image",), contract.outputs, present=("text",))


def test_several_photos_need_a_status_of_the_modality():
    outputs = {
        "image_pixels": ((5, 32, 32, 3), np.uint8),
        "image_valid": ((5,), np.bool_),
        "image_status": ((5,), np.int32),
    }
    with pytest.raises(ValueError, match="expected an output 'modality_status', got none"):
        Contract(("image",), outputs)
