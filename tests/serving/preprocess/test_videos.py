import io

import av
import numpy as np
import pytest

from serving.backends.dali import video as decoder
from serving.backends.dali.contract import Status, evenly
from serving.backends.dali.isolation import IsolatedPipeline
from serving.backends.dali.moments import Sampling
from tests.serving.preprocess.conftest import pipelines_of
from tests.serving.preprocess.files import frame, payloads, picture, video

FORMATS = [
    ("mjpeg", "avi"),
    ("mpeg4", "avi"),
    ("libx264", "avi"),
    ("libx264", "mp4"),
    ("mpeg4", "mp4"),
    ("mjpeg", "mp4"),
    ("libvpx-vp9", "mp4"),
    ("libx264", "mkv"),
    ("mjpeg", "mkv"),
    ("libvpx-vp9", "webm"),
    ("libvpx", "webm"),
]
SAMPLING = Sampling(moments=16, size_px=96)


def greys(answer: dict[str, np.ndarray]) -> np.ndarray:
    """Which frame each one is: they were painted ten grey levels apart."""
    return np.rint(answer["video_frames"].mean(axis=(1, 2, 3)) / 10)


@pytest.mark.parametrize(("codec", "suffix"), FORMATS)
def test_every_codec_and_container_gives_the_same_evenly_spaced_frames(read, codec, suffix):
    (answer,) = read(payloads(video=video(codec, suffix)))
    assert answer["modality_status"][0] == Status.OK
    assert answer["video_valid"].tolist() == [True]
    assert greys(answer).tolist() == [int(i * 19 / 15 + 0.5) for i in range(16)]


@pytest.mark.parametrize("frames", [1, 2, 15, 16, 17])
def test_a_short_video_repeats_its_frames_in_order(read, frames):
    (answer,) = read(payloads(video=video(frames=frames)))
    assert answer["modality_status"][0] == Status.OK
    assert greys(answer).tolist() == [int(i * (frames - 1) / 15 + 0.5) for i in range(16)]


def test_colours_and_the_whole_width_survive(read):
    image = np.zeros((120, 200, 3), np.uint8)
    image[:, :100, 0], image[:, 100:, 2] = 200, 200
    (answer,) = read(payloads(video=video(size=(200, 120), images=[image] * 3)))
    left, right = answer["video_frames"][0, 48, 10], answer["video_frames"][0, 48, 85]
    assert np.abs(left.astype(int) - [200, 0, 0]).max() <= 4
    assert np.abs(right.astype(int) - [0, 0, 200]).max() <= 4


def test_an_mjpeg_avi_that_breaks_off_is_partial_and_spread_over_what_is_left(read):
    data = video("mjpeg", "avi", images=[np.asarray(picture(64, 48, seed)) for seed in range(20)])
    (answer,) = read(payloads(video=data[: len(data) * 2 // 3]))
    assert answer["modality_status"][0] == Status.PARTIAL
    assert answer["video_valid"].tolist() == [True]
    assert answer["video_frames"][-1].any()


def test_a_webm_that_breaks_off_is_partial(read):
    data = video("libvpx-vp9", "webm", images=[np.asarray(picture(64, 48, seed)) for seed in range(20)])
    (answer,) = read(payloads(video=data[: len(data) * 2 // 3]))
    assert answer["modality_status"][0] == Status.PARTIAL


@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_left_of_a_broken_video_does_not_depend_on_the_threads(threads):
    data = video("mjpeg", "avi", images=[np.asarray(picture(64, 48, seed)) for seed in range(20)])
    broken = bytearray(data)
    broken[len(data) // 2 : len(data) // 2 + 1500] = bytes(1500)
    clip = decoder.read(np.frombuffer(bytes(broken), np.uint8), SAMPLING, threads)
    alone = decoder.read(np.frombuffer(bytes(broken), np.uint8), SAMPLING)
    assert np.array_equal(clip.frames, alone.frames)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[: len(data) // 2],  # an MP4 without the index at its end
        lambda data: data[:40],
        lambda data: b"\x00\x00\x00\x20ftyp" + bytes(500),
        lambda data: b"RIFF\x00\x00\x00\x00AVI " + bytes(500),
        lambda data: b"\x1a\x45\xdf\xa3" + bytes(500),
        lambda data: b"#EXTM3U\nfile:/etc/hostname\n",
        lambda data: b"x",
    ],
)
def test_what_gives_no_frame_is_corrupt_and_zero(read, spoil):
    (answer,) = read(payloads(video=spoil(video())))
    assert answer["modality_status"][0] == Status.CORRUPT
    assert not answer["video_valid"].any()
    assert not answer["video_frames"].any()


def test_a_container_with_sound_only_is_corrupt(read):
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        track = container.add_stream("aac", rate=16_000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate = 16_000
        container.mux(track.encode(sound))
        container.mux(track.encode())
    (answer,) = read(payloads(video=stream.getvalue()))
    assert answer["modality_status"][0] == Status.CORRUPT


@pytest.mark.parametrize(
    ("limit", "value", "sentence"),
    [
        ("MAX_FRAME_PIXELS", 3000, "frames of 3072 pixels, at most 3000 are decoded"),
        ("MAX_PACKETS", 10, "more than 10 frames of 3072 pixels; too long to decode"),
        ("MAX_DECODED_PIXELS", 40_000, "too long to decode"),
    ],
)
def test_a_video_beyond_the_limits_is_not_decoded(monkeypatch, limit, value, sentence):
    monkeypatch.setattr(decoder, limit, value)
    with pytest.raises(decoder.Undecodable, match=sentence):
        decoder.read(np.frombuffer(video(), np.uint8), SAMPLING)


@pytest.mark.parametrize("codec", ["libvpx-vp9", "mjpeg"])
def test_dalis_own_video_pipeline_picks_the_same_frames(codec):
    """It serves a GPU; its CPU decoder has these two codecs, enough to know that the pipeline is right."""
    data = np.frombuffer(video(codec, "webm" if codec != "mjpeg" else "avi"), np.uint8)
    built = pipelines_of("weld_small_preprocess").videos(
        96, "cpu", batch_size=2, num_threads=1, device_id=None
    )
    numbers = evenly(decoder.index(data.tobytes())[0], 16).astype(np.int32)
    pixels, broken = IsolatedPipeline(built)(
        [{"video": data, "frames": numbers}, {"video": data[:40], "frames": numbers}]
    )
    ours = decoder.read(data, SAMPLING).frames
    assert broken is None
    assert np.abs(pixels.astype(int) - ours).max() <= 4


def test_frame_numbers_are_those_of_the_written_policy():
    for count in (1, 2, 7, 16, 40, 301):
        assert evenly(count, 16).tolist() == [int(np.floor(i * (count - 1) / 15 + 0.5)) for i in range(16)]
    assert evenly(9, 1).tolist() == [0]


def test_a_frame_says_its_number():
    assert frame(7, 4, 4).max() == 70
