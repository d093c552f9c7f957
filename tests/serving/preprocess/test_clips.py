"""Videos of `video_quality`: moments, bursts, fragments and times, by the backend that reads the welds."""

import numpy as np
import pytest

from multimodal.quality_presets import QUALITY_PRESETS
from serving.backends.dali import video as decoder
from serving.backends.dali.contract import Contract, Status, evenly
from serving.backends.dali.fragments import mosaic, scaled_up
from serving.backends.dali.moments import Sampling
from serving.backends.dali.preprocess import Preprocessor
from tests.serving.preprocess.conftest import Reader, committed_contract, pipelines_of
from tests.serving.preprocess.files import payloads, picture, video

SMALL = Sampling(moments=8, size_px=64, burst=2, fragments_px=96)


@pytest.fixture(scope="module")
def read_clip():
    reader = Reader("video_quality_small_preprocess")
    yield reader
    reader.preprocess.close()


def only(data: bytes) -> dict[str, np.ndarray]:
    return {"video": payloads(video=data)["video"]}


def greys(frames: np.ndarray) -> list[int]:
    """Which frame each one is: they were painted ten grey levels apart."""
    return np.rint(frames.mean(axis=(1, 2, 3)) / 10).astype(int).tolist()


def test_moments_are_spread_so_that_the_last_burst_ends_with_the_video():
    chosen = SMALL.choose(20)
    assert chosen.starts.tolist() == [0, 3, 5, 8, 10, 13, 15, 18]
    assert chosen.rows.tolist() == [0, 1, 3, 4, 5, 6, 8, 9, 10, 11, 13, 14, 15, 16, 18, 19]


@pytest.mark.parametrize(("count", "rows"), [(1, [0, 0] * 8), (2, [0, 1] * 8), (3, [0, 1] * 4 + [1, 2] * 4)])
def test_short_videos_repeat_moments_and_their_last_frame(count, rows):
    assert SMALL.choose(count).rows.tolist() == rows


@pytest.mark.parametrize("count", [1, 2, 7, 16, 40, 301])
def test_moments_of_one_frame_are_the_evenly_spaced_frames_of_the_welds(count):
    chosen = Sampling(moments=16, size_px=96).choose(count)
    assert np.array_equal(chosen.rows, evenly(count, 16))
    assert np.array_equal(chosen.starts, chosen.rows)


@pytest.mark.parametrize(
    ("codec", "suffix"), [("libx264", "mp4"), ("libx264", "avi"), ("libvpx-vp9", "webm")]
)
def test_a_clip_is_bursts_and_says_which_frames_they_are_and_when(read_clip, codec, suffix):
    (answer,) = read_clip(only(video(codec, suffix)))
    assert answer["modality_status"].tolist() == [Status.OK]
    assert answer["video_valid"].tolist() == [True]
    assert greys(answer["video_frames"]) == SMALL.choose(20).rows.tolist()
    assert greys(answer["video_fragments"]) == answer["frame_numbers"].tolist()
    assert answer["frame_times"] == pytest.approx(answer["frame_numbers"] / 10, abs=1e-6)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_clip_is_the_same_with_any_number_of_threads(threads):
    data = video(images=[np.asarray(picture(64, 48, seed)) for seed in range(30)])
    broken = np.frombuffer(data[: len(data) // 2] + bytes(400) + data[len(data) // 2 + 400 :], np.uint8)
    clip, alone = decoder.read(broken, SMALL, threads), decoder.read(broken, SMALL)
    for name in ("frames", "fragments", "numbers", "times", "status"):
        assert np.array_equal(getattr(clip, name), getattr(alone, name)), name


def test_a_mosaic_is_a_patch_of_each_cell_in_the_order_of_the_picture():
    rows, columns = np.mgrid[:97, :166].astype(np.uint8)
    cut = mosaic(np.stack([rows, columns, rows], axis=2), 96, 0)
    assert cut.shape == (96, 96, 3)
    assert cut[[0, 31, 32, 64], 0, 0].tolist() == [11, 42, 33, 55]  # half into cells of 22
    assert cut[0, [0, 31, 32, 64, 95], 1].tolist() == [15, 46, 60, 105, 136]  # a third into cells of 45


def test_every_moment_looks_elsewhere_in_its_cells():
    rows, columns = np.mgrid[:95, :112].astype(np.uint8)
    picture = np.stack([rows, columns, rows], axis=2)
    starts = [mosaic(picture, 32, moment)[0, 0, :2].tolist() for moment in range(8)]
    assert [top for top, _ in starts[:4]] == [32, 16, 48, 8]  # of 64: a half, a quarter, three, an eighth
    assert [left for _, left in starts[:4]] == [27, 54, 9, 36]  # of 81: a third, two, a ninth, four
    assert len({tuple(start) for start in starts}) == 8


def test_patches_overlap_in_a_picture_smaller_than_the_mosaic():
    rows, columns = np.mgrid[:55, :32].astype(np.uint8)
    cut = mosaic(np.stack([rows, columns, rows], axis=2), 96, 0)
    assert cut[[0, 32, 64], 0, 0].tolist() == [4, 12, 20]
    assert cut[0, [0, 32, 64], 1].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("size", "room"),
    [((32, 32), (32, 32)), ((16, 64), (32, 128)), ((24, 31), (32, 41)), ((500, 8), (2000, 32))],
)
def test_a_frame_without_room_for_a_patch_is_scaled_up(size, room):
    assert scaled_up(*size) == room


def test_a_strip_that_would_take_gigabytes_to_scale_up_is_refused(monkeypatch):
    monkeypatch.setattr(decoder, "MAX_FRAME_PIXELS", 32 * 64 * 4 - 1)
    data = np.frombuffer(video(size=(128, 16), frames=2), np.uint8)
    with pytest.raises(decoder.Undecodable, match="128x16 is too narrow to take fragments of"):
        decoder.read(data, SMALL)


def test_a_corrupt_or_absent_video_is_zeros_in_every_output(read_clip):
    corrupt, absent, good = read_clip(only(video()[:300]), only(b""), only(video()))
    assert corrupt["modality_status"].tolist() == [Status.CORRUPT]
    assert absent["modality_status"].tolist() == [Status.ABSENT]
    for answer in (corrupt, absent):
        assert not any(answer[name].any() for name in answer if name != "modality_status")
    assert good["modality_status"].tolist() == [Status.OK]


def test_a_batch_of_eight_is_what_each_would_have_got_alone(read_clip):
    requests = [only(video("mpeg4", "avi", frames=1 + 5 * number)) for number in range(8)]
    requests[3] = only(video()[:500])
    for request, answer in zip(requests, read_clip(*requests), strict=True):
        (alone,) = read_clip(request)
        assert all(np.array_equal(answer[name], alone[name]) for name in alone)


@pytest.mark.parametrize("name", ["video_quality_small", "video_quality_unified", "video_quality_optimised"])
def test_the_contract_is_the_sampling_of_the_preset(name):
    contract, sampling = committed_contract(f"{name}_preprocess"), QUALITY_PRESETS[name].sampling
    assert (contract.moments, contract.burst) == (8, sampling.burst)
    assert contract.dims("video") == (8 * sampling.burst, sampling.size_px, sampling.size_px, 3)
    assert contract.fragments_px == sampling.fragments_px


@pytest.mark.parametrize("name", ["video_quality_small", "video_quality_unified", "video_quality_optimised"])
def test_every_quality_preset_gets_all_that_its_contract_promises(name):
    contract = committed_contract(f"{name}_preprocess")
    preprocess = Preprocessor(contract, pipelines_of(f"{name}_preprocess"), "gpu")  # PyAV there too
    (answer,) = preprocess([only(video())], np.array([[True]]))
    preprocess.close()
    assert answer.keys() == contract.outputs.keys()
    for output, (shape, dtype) in contract.outputs.items():
        assert (answer[output].shape, answer[output].dtype) == (shape, np.dtype(dtype)), output
    assert answer["frame_numbers"][-1] == (18 if name == "video_quality_small" else 19)


CLIP = {
    "video_frames": ((16, 64, 64, 3), np.uint8),
    "modality_status": ((1,), np.int32),
    "frame_numbers": ((8,), np.int32),
}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"frame_numbers": ((7,), np.int32)},
            "video_frames: expected a multiple of the 7 frame_numbers, got 16",
        ),
        (
            {"frame_numbers": ((0,), np.int32)},
            "video_frames: expected a multiple of the 0 frame_numbers, got 16",
        ),
        ({"frame_times": ((16,), np.float32)}, r"frame_times: expected dims \[8\], got \[16\]"),
        (
            {"video_fragments": ((8, 100, 100, 3), np.uint8)},
            r"video_fragments: .*whole 32 px patches, got \[8, 1",
        ),
        (
            {"video_fragments": ((16, 96, 96, 3), np.uint8)},
            r"video_fragments: expected dims \[8, size, size, 3\]",
        ),
        ({"video_fragments": ((8,), np.uint8)}, r"video_fragments: expected dims .*, got \[8\]; correct"),
    ],
)
def test_a_contract_whose_moments_do_not_fit_is_refused(changed, sentence):
    with pytest.raises(ValueError, match=sentence):
        Contract(("video",), CLIP | changed)


@pytest.mark.parametrize("name", ["frame_times", "video_fragments"])
def test_what_is_said_per_moment_needs_their_numbers(name):
    outputs = {key: value for key, value in CLIP.items() if key != "frame_numbers"} | {
        name: ((16,), np.float32)
    }
    with pytest.raises(
        ValueError, match="expected an output 'frame_numbers', got none; add it to the config"
    ):
        Contract(("video",), outputs)
