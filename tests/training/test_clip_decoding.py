"""The reference decoder of video quality: which moments, which patches, when, and what a bad file gives."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from multimodal.quality_presets import Sampling
from training.clip_decoding import decode_clip, fragments, moments
from training.decoding import Status

SAMPLING = Sampling(size_px=32, burst=2, fragments_px=64)


def _video(
    pictures: list[NDArray[np.uint8]], codec: str = "mpeg4", container: str = "mp4", rate: int = 25
) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=Fraction(rate))
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for picture in pictures:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        output.mux(stream.encode())
    return file.getvalue()


def _greys(frames: int, height: int = 48, width: int = 64) -> list[NDArray[np.uint8]]:
    """Frame i is an even grey of 20 + 10 i."""
    return [np.full((height, width, 3), 20 + 10 * index, np.uint8) for index in range(frames)]


def _numbers(frames: NDArray[np.uint8]) -> list[int]:
    shades = frames.reshape(len(frames), -1).mean(axis=1)
    return [round((float(shade) - 20) / 10) for shade in shades]


def _marked(height: int, width: int) -> NDArray[np.uint8]:
    """A picture whose red says the row and whose green says the column."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    return np.stack([rows, columns, np.zeros_like(rows)], axis=2)


def test_moments_leave_room_for_the_last_burst() -> None:
    starts, rows = moments(20, burst=2)
    assert starts.tolist() == [0, 3, 5, 8, 10, 13, 15, 18]
    assert rows.tolist() == [0, 1, 3, 4, 5, 6, 8, 9, 10, 11, 13, 14, 15, 16, 18, 19]


@pytest.mark.parametrize(
    ("count", "burst", "expected"),
    [(1, 2, [0, 0] * 8), (2, 2, [0, 1] * 8), (2, 3, [0, 1, 1] * 8), (8, 1, list(range(8)))],
)
def test_a_short_video_repeats_moments_and_its_last_frame(
    count: int, burst: int, expected: list[int]
) -> None:
    assert moments(count, burst)[1].tolist() == expected


def test_a_clip_is_its_moments_with_their_numbers_and_times() -> None:
    clip = decode_clip(_video(_greys(20), rate=10), SAMPLING)
    assert (clip.status, clip.frames.shape, clip.frames.dtype) == (Status.OK, (16, 32, 32, 3), np.uint8)
    assert clip.fragments is not None
    assert clip.fragments.shape == (8, 64, 64, 3)
    assert clip.numbers.tolist() == [0, 3, 5, 8, 10, 13, 15, 18]
    assert clip.times == pytest.approx(clip.numbers / 10)
    assert _numbers(clip.frames) == moments(20, 2)[1].tolist()
    assert _numbers(clip.fragments) == clip.numbers.tolist()


@pytest.mark.parametrize(
    ("codec", "container"),
    [("libx264", "mp4"), ("libx264", "avi"), ("mpeg4", "avi"), ("libvpx-vp9", "webm"), ("mjpeg", "avi")],
)
def test_times_are_those_of_display_whatever_the_container_stores(codec: str, container: str) -> None:
    clip = decode_clip(_video(_greys(20), codec, container), SAMPLING)
    assert clip.times == pytest.approx(clip.numbers / 25, abs=1e-3)  # Matroska counts milliseconds


def test_without_fragments_none_are_cut() -> None:
    clip = decode_clip(_video(_greys(9)), Sampling(size_px=40))
    assert clip.fragments is None
    assert clip.frames.shape == (8, 40, 40, 3)


def test_a_patch_of_each_cell_is_laid_in_rows() -> None:
    mosaic = fragments(_marked(97, 166), 96, moment=0)
    assert mosaic[[0, 32, 64, 95], 0, 0].tolist() == [11, 33, 55, 86]  # half into cells of 22
    assert mosaic[0, [0, 32, 64, 95], 1].tolist() == [15, 60, 105, 136]  # a third into cells of 45
    assert mosaic[33, 35].tolist() == [34, 63, 0]  # below and right of a patch's corner


def test_another_moment_looks_at_another_place() -> None:
    starts = [fragments(_marked(95, 112), 32, moment)[0, 0, :2].tolist() for moment in range(4)]
    assert starts == [[32, 27], [16, 54], [48, 9], [8, 36]]  # of 64 and 81: Halton, bases 2 and 3


def test_a_small_picture_is_scaled_up_to_one_patch_with_its_aspect() -> None:
    picture = np.zeros((16, 40, 3), np.uint8)
    picture[:, 20:] = 240
    mosaic = fragments(picture, 64, moment=2)  # of 32 x 80: patches at 2 and 27, the right half begins at 40
    assert not mosaic[:, :32].any()
    assert not mosaic[:, 32:43].any()
    assert (mosaic[:, 47:] == 240).all()


def test_fragments_keep_what_scaling_would_average_away() -> None:
    stripes = np.zeros((96, 96, 3), np.uint8)
    stripes[:, ::2] = 255
    clip = decode_clip(_video([stripes] * 3, "mjpeg", "avi"), SAMPLING)
    assert clip.fragments is not None
    assert clip.fragments.std() > 80
    assert clip.frames.std() < 30


def test_a_file_that_ends_early_is_partial_and_spread_over_what_is_left() -> None:
    pictures = [np.random.default_rng(i).integers(0, 256, (48, 64, 3), dtype=np.uint8) for i in range(40)]
    for codec, container in (("mjpeg", "avi"), ("libvpx-vp9", "webm")):
        whole = _video(pictures, codec, container)
        clip = decode_clip(whole[: len(whole) // 2], SAMPLING)
        assert clip.status is Status.PARTIAL
        assert 10 < clip.numbers[-1] < 25


@pytest.mark.parametrize(
    ("payload", "status"),
    [(b"", Status.ABSENT), (b"no video", Status.CORRUPT), (_video(_greys(9))[:200], Status.CORRUPT)],
)
def test_what_cannot_be_read_is_zeros_and_a_status(payload: bytes, status: Status) -> None:
    clip = decode_clip(payload, SAMPLING)
    assert clip.status is status
    assert clip.fragments is not None
    assert not any(array.any() for array in (clip.frames, clip.fragments, clip.numbers, clip.times))
    assert (clip.frames.shape, clip.fragments.shape) == ((16, 32, 32, 3), (8, 64, 64, 3))
