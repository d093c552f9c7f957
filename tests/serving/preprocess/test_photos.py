import io

import numpy as np
import pytest
from PIL import Image

from serving.backends.dali.contract import Status
from tests.serving.preprocess.files import payloads, photo, picture


def stretched(data: bytes, size_px: int = 112) -> np.ndarray:
    opened = Image.open(io.BytesIO(data)).convert("RGB")
    return np.asarray(opened.resize((size_px, size_px), Image.Resampling.BILINEAR)).astype(int)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("JPEG", "RGB"),
        ("JPEG", "L"),
        ("JPEG", "CMYK"),
        ("PNG", "RGB"),
        ("PNG", "RGBA"),
        ("PNG", "L"),
        ("PNG", "LA"),
        ("WEBP", "RGB"),
        ("WEBP", "RGBA"),
    ],
)
def test_every_kind_of_photo_becomes_a_square_within_one_level_of_pillow(read, kind, mode):
    data = photo(kind, mode)
    (answer,) = read(payloads(images=[data]))
    assert answer["image_status"].tolist() == [Status.OK] + [Status.ABSENT] * 4
    assert np.abs(answer["image_pixels"][0] - stretched(data)).max() <= 1


def test_alpha_is_dropped_and_not_mixed_in(read):
    see_through = picture().convert("RGBA")
    see_through.putalpha(0)
    stream = io.BytesIO()
    see_through.save(stream, "PNG")
    (clear,), (opaque,) = read(payloads(images=[stream.getvalue()])), read(payloads(images=[photo("PNG")]))
    assert np.array_equal(clear["image_pixels"], opaque["image_pixels"])


def test_the_exif_orientation_is_ignored(read):
    exif = Image.Exif()
    exif[0x0112] = 6
    (turned,) = read(payloads(images=[photo(exif=exif)]))
    (plain,) = read(payloads(images=[photo()]))
    assert np.array_equal(turned["image_pixels"], plain["image_pixels"])


def test_photos_keep_their_order_and_the_rest_stays_zero(read):
    images = [photo(seed=seed) for seed in range(3)]
    (answer,) = read(payloads(images=images))
    for row, data in enumerate(images):
        assert np.abs(answer["image_pixels"][row] - stretched(data)).max() <= 1
    assert not answer["image_pixels"][3:].any()
    assert answer["image_valid"].tolist() == [True, True, True, False, False]


@pytest.mark.parametrize(
    "spoil", [lambda data: data[: len(data) // 2], lambda data: data[:-2], lambda data: data[:3]]
)
def test_one_broken_photo_of_three_costs_only_itself(read, spoil):
    images = [photo(seed=seed) for seed in range(3)]
    (whole,) = read(payloads(images=images))
    (answer,) = read(payloads(images=[images[0], spoil(images[1]), images[2]]))
    assert answer["modality_status"][1] == Status.PARTIAL
    assert answer["image_status"].tolist() == [
        Status.OK,
        Status.CORRUPT,
        Status.OK,
        Status.ABSENT,
        Status.ABSENT,
    ]
    assert answer["image_valid"].tolist() == [True, False, True, False, False]
    assert not answer["image_pixels"][1].any()
    assert np.array_equal(answer["image_pixels"][[0, 2]], whole["image_pixels"][[0, 2]])


def test_only_broken_photos_are_corrupt(read):
    (answer,) = read(payloads(images=[b"\xff\xd8\xffno", photo()[:200]]))
    assert answer["modality_status"][1] == Status.CORRUPT
    assert not answer["image_valid"].any()
    assert not answer["image_pixels"].any()


def test_sizes_that_do_not_fit_the_bytes_are_corrupt_and_no_crash(read):
    request = payloads(images=[photo()]) | {"image_sizes": np.array([-5, 7, 10**9], np.int64)}
    (answer,) = read(request)
    assert answer["modality_status"][1] == Status.CORRUPT


def test_a_photo_of_one_pixel_and_one_wider_than_long_are_read(read):
    (answer,) = read(payloads(images=[photo("PNG", size=(1, 1)), photo(size=(900, 10))]))
    assert answer["modality_status"][1] == Status.OK
