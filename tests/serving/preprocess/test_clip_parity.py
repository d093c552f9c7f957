"""Backend and reference decoder of video quality: two implementations, the same bytes where it matters.

Fragments are equal to the bit: both convert whole frames with the same arithmetic and cut without scaling.
Whole frames are not: the reference converts, then Pillow scales; the backend does both in one step of
swscale, six times faster, which rounds once where the other rounds twice and smooths chroma a little less.
"""

import numpy as np
import pytest

from multimodal.quality_presets import QUALITY_PRESETS, Sampling
from serving.backends.dali import moments
from serving.backends.dali import video as decoder
from serving.backends.dali.contract import Status
from tests.serving.preprocess.files import picture, video
from training.clip_decoding import DecodedClip, decode_clip

SMALL = QUALITY_PRESETS["video_quality_small"].sampling
FORMATS = [
    ("libx264", "mp4"),
    ("mpeg4", "avi"),
    ("libvpx-vp9", "webm"),
    ("mjpeg", "avi"),
    ("libx264", "avi"),
    ("libx265", "mp4"),
]


def moving(width: int, height: int, frames: int = 12) -> list[np.ndarray]:
    """A camera that pans over a coloured picture, six pixels a frame."""
    wide = np.asarray(picture(2 * width, height, seed=3))
    return [np.ascontiguousarray(wide[:, 6 * n % width :][:, :width]) for n in range(frames)]


def served(data: bytes, sampling: Sampling = SMALL) -> decoder.Clip:
    cut = moments.Sampling(8, sampling.size_px, sampling.burst, sampling.fragments_px)
    return decoder.read(np.frombuffer(data, np.uint8), cut, threads=2)


def assert_same_moments(clip: decoder.Clip, reference: DecodedClip) -> None:
    assert clip.status == reference.status
    assert clip.numbers.tolist() == reference.numbers.tolist()
    assert clip.times.tolist() == reference.times.tolist()


def assert_same_clip(clip: decoder.Clip, reference: DecodedClip, largest: int = 16) -> None:
    """Largest distance of one value: 2 to 5 of H.264, HEVC and VP9, 7 of MJPEG, 13 of MPEG-4 measured."""
    assert_same_moments(clip, reference)
    assert np.array_equal(clip.fragments, reference.fragments)
    distance = np.abs(clip.frames.astype(int) - reference.frames)
    assert distance.max() <= largest
    assert distance.mean() < 0.5


@pytest.mark.parametrize("size", [(176, 144), (640, 272), (1280, 720), (144, 256)])
@pytest.mark.parametrize(("codec", "suffix"), FORMATS)
def test_every_codec_and_size_gives_the_same_clip(codec, suffix, size):
    data = video(codec, suffix, size=size, images=moving(*size))
    assert_same_clip(served(data), decode_clip(data, SMALL))


@pytest.mark.parametrize("frames", [1, 2, 5, 8, 9, 300])
def test_every_length_gives_the_same_moments(frames):
    data = video(size=(64, 48), images=moving(64, 48, frames))
    assert_same_clip(served(data), decode_clip(data, SMALL))


@pytest.mark.parametrize("size", [(24, 24), (20, 40)])
def test_of_frames_smaller_than_a_patch_fragments_differ_by_one_level(size):
    """swscale and Pillow round a bilinear enlargement differently; 0.2 levels on average."""
    data = video(size=size, images=moving(*size))
    clip, reference = served(data), decode_clip(data, SMALL)
    assert_same_moments(clip, reference)
    assert np.abs(clip.fragments.astype(int) - reference.fragments).max() <= 1
    assert np.abs(clip.frames.astype(int) - reference.frames).mean() < 1.5


@pytest.mark.parametrize("kept", [0.5, 0.8, 0.97])
@pytest.mark.parametrize(
    ("codec", "suffix"), [("mpeg4", "avi"), ("mjpeg", "avi"), ("libvpx-vp9", "webm"), ("libx264", "mkv")]
)
def test_what_is_left_of_a_truncated_file_is_the_same(codec, suffix, kept):
    data = video(codec, suffix, size=(176, 144), images=moving(176, 144, 30))
    cut = data[: int(kept * len(data))]
    reference = decode_clip(cut, SMALL)
    assert reference.status.usable
    assert_same_clip(served(cut), reference, largest=32)  # 27 of MJPEG, at the edges of lost blocks


def test_a_file_that_ends_early_is_partial_for_both():
    data = video("mjpeg", "avi", size=(176, 144), images=moving(176, 144, 30))
    cut = data[: len(data) // 2]
    assert served(cut).status == decode_clip(cut, SMALL).status == Status.PARTIAL


@pytest.mark.parametrize(
    "data",
    [video()[:-500], video()[:40], b"\0\0\0\0ftyp", b"hello"],
    ids=["no index", "cut", "magic", "text"],
)
def test_what_gives_no_frame_is_corrupt_for_both(data):
    assert decode_clip(data, SMALL).status == Status.CORRUPT
    with pytest.raises(decoder.Undecodable):
        served(data)


@pytest.mark.parametrize("name", ["video_quality_unified", "video_quality_optimised", "video_quality_tiny"])
def test_every_preset_is_cut_out_alike(name):
    sampling = QUALITY_PRESETS[name].sampling
    data = video(size=(320, 240), images=moving(320, 240))
    clip, reference = served(data, sampling), decode_clip(data, sampling)
    assert_same_moments(clip, reference)
    assert (clip.fragments is None) == (reference.fragments is None) == (not sampling.fragments_px)
    if reference.fragments is not None:
        assert np.array_equal(clip.fragments, reference.fragments)
    assert np.abs(clip.frames.astype(int) - reference.frames).mean() < 0.5
