"""Pixels handed on where DALI wrote them: what a GPU does, run on a CPU, whose memory numpy reads too."""

import gc
from dataclasses import replace

import numpy as np
import pytest

from serving.backends.dali import handed_on
from serving.backends.dali.contract import Status
from serving.backends.dali.handed_on import Rows
from serving.backends.dali.preprocess import Preprocessor
from tests.serving.preprocess.conftest import committed_contract, pipelines_of
from tests.serving.preprocess.files import csv_log, payloads, photo, picture, recording, video


def block() -> tuple[np.ndarray, Rows]:
    """(4, 2, 3) bytes that count up, and the same by address."""
    memory = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    return memory, Rows(memory.ctypes.data, memory.shape, None, memory)


def test_a_part_is_the_same_memory_further_on():
    memory, rows = block()
    part = np.from_dlpack(rows.part(2, 2))
    np.testing.assert_array_equal(part, memory[2:])
    memory[3, 1, 2] = 99
    assert part[1, 1, 2] == 99  # no copy


def test_a_part_gets_the_batch_axis_of_a_response():
    assert np.from_dlpack(block()[1].part(1, 1).reshaped(1, 2, 3)).tolist() == [[[6, 7, 8], [9, 10, 11]]]


def test_the_owner_lives_as_long_as_who_received_the_rows():
    before = len(handed_on._lent)
    received = np.from_dlpack(block()[1])
    assert len(handed_on._lent) == before + 1
    assert received[3].tolist() == [[18, 19, 20], [21, 22, 23]]
    del received
    gc.collect()
    assert len(handed_on._lent) == before


def test_a_capsule_that_nobody_reads_lets_its_memory_go():
    before = len(handed_on._lent)
    capsule = block()[1].__dlpack__()
    assert len(handed_on._lent) == before + 1
    del capsule
    gc.collect()
    assert len(handed_on._lent) == before


def test_rows_on_a_gpu_say_on_which():
    assert replace(block()[1], device=3).__dlpack_device__() == (handed_on.CUDA, 3)
    assert block()[1].__dlpack_device__() == (handed_on.CPU, 0)


@pytest.fixture(scope="module")
def in_place():
    """The backend as a GPU runs it, but for the device."""
    preprocess = Preprocessor(
        committed_contract("weld_small_preprocess"), pipelines_of("weld_small_preprocess"), in_place=True
    )
    yield preprocess
    preprocess.close()


def weld(seed: int, photos: int) -> dict[str, np.ndarray]:
    images = [np.asarray(picture(64, 48, 100 * seed + number)) for number in range(8)]
    return payloads(
        video=video("libvpx-vp9", "webm", images=images),
        images=[photo(seed=seed + number) for number in range(photos)],
        audio=recording(),
        sensor=csv_log(),
    )


def asked(preprocess, *requests: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Answers with what was handed on by address read at once, as Triton does before the next batch."""
    names = preprocess.contract.modalities
    present = np.array([[request[name].size > 0 for name in names] for request in requests])
    answers = preprocess(requests, present)
    return [{name: read_out(value) for name, value in answer.items()} for answer in answers]


def read_out(value: np.ndarray | Rows) -> np.ndarray:
    return np.from_dlpack(value).copy() if isinstance(value, Rows) else value


def test_photos_by_address_are_the_photos_of_the_host(in_place, read):
    """DALI stretches them in place, Pillow on the host: with the same filter, rounded by each."""
    requests = [weld(1, 3), weld(2, 5), weld(3, 1)]
    for one, other in zip(asked(in_place, *requests), read(*requests), strict=True):
        assert one.keys() == other.keys()
        for name in other.keys() - {"video_frames", "image_pixels"}:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)
        assert np.abs(one["image_pixels"].astype(int) - other["image_pixels"]).max() <= 1


def test_photos_by_address_are_bit_for_bit_those_that_are_copied(in_place):
    request = weld(2, 5)
    files = np.split(request["image"], np.cumsum(request["image_sizes"])[:-1])
    (answer,) = asked(in_place, request)
    copied = in_place._pipelines["image"]([{"image": one} for one in files])
    np.testing.assert_array_equal(answer["image_pixels"], np.stack(copied))


def test_a_video_by_address_has_the_frames_that_pyav_takes(in_place, read):
    """DALI resizes in RGB, PyAV while it converts: the same frames, a few levels apart."""
    (one,), (other,) = asked(in_place, weld(1, 1)), read(weld(1, 1))
    difference = np.abs(one["video_frames"].astype(int) - other["video_frames"])
    assert difference.mean() < 4
    apart = np.abs(one["video_frames"][0].astype(int) - one["video_frames"][-1]).mean()
    assert apart > 5 * difference.mean()


def test_pixels_are_not_copied(in_place):
    present = np.ones((2, 4), bool)
    first, second = in_place([weld(1, 2), weld(2, 2)], present)
    pixels = [one["image_pixels"] for one in (first, second)]
    assert all(isinstance(one, Rows) for one in pixels)
    assert pixels[1].address - pixels[0].address == np.prod(pixels[0].shape)  # one block
    assert isinstance(first["video_frames"], Rows)


def test_a_broken_photo_costs_the_batch_a_copy_and_nothing_else(in_place):
    broken = weld(2, 1)
    broken["image"] = broken["image"][: broken["image"].size // 2]
    broken["image_sizes"] = np.array([broken["image"].size])
    requests = [weld(1, 2), broken, weld(3, 1)]
    answers = asked(in_place, *requests)
    statuses = [Status.OK, Status.CORRUPT, Status.OK]
    assert [int(one["modality_status"][1]) for one in answers] == statuses
    for one, request in zip(answers, requests, strict=True):
        (other,) = asked(in_place, request)
        np.testing.assert_array_equal(one["image_pixels"], other["image_pixels"])
        np.testing.assert_array_equal(one["image_status"], other["image_status"])


def test_a_video_that_dali_refuses_is_read_by_pyav(in_place, read):
    images = [np.asarray(picture(64, 48, number)) for number in range(8)]
    request = payloads(video=video("libx264", "mp4", images=images))  # DALI's CPU decoder has no H.264
    (one,), (other,) = asked(in_place, request), read(request)
    np.testing.assert_array_equal(one["video_frames"], other["video_frames"])
    assert one["modality_status"].tolist() == other["modality_status"].tolist() == [0, 1, 1, 1]


def test_a_hostile_video_does_not_let_its_neighbours_write_over_each_other(in_place, read):
    hostile = weld(2, 1) | {"video": np.frombuffer(b"RIFF" + 500 * b"x", np.uint8)}
    requests = [weld(1, 1), hostile, weld(3, 1)]
    answers = asked(in_place, *requests)
    assert [int(one["modality_status"][0]) for one in answers] == [Status.OK, Status.CORRUPT, Status.OK]
    for one, other in zip(answers, read(*requests), strict=True):
        np.testing.assert_array_equal(one["video_frames"], other["video_frames"])


def test_a_batch_without_a_photo_or_a_video_is_answered(in_place):
    (answer,) = asked(in_place, payloads(sensor=csv_log()))
    assert answer["modality_status"].tolist() == [1, 1, 1, 0]
    assert not answer["image_pixels"].any()
