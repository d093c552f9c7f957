import struct

import pytest

from serving.backends.gate import headers
from serving.backends.gate.headers import AudioHeader
from tests.serving.preprocess.files import photo, recording, sine, video


@pytest.mark.parametrize(
    ("suffix", "kind"), [("avi", "avi"), ("mp4", "mov"), ("mkv", "matroska"), ("webm", "matroska")]
)
def test_a_container_is_known_by_its_magic(suffix, kind):
    data = video("libvpx-vp9" if suffix == "webm" else "libx264", suffix, frames=2)
    assert headers.video_container(data) == kind


def test_only_an_avi_announces_its_size_in_a_fixed_place():
    assert headers.avi_size(video("mjpeg", "avi", frames=2, size=(64, 48))) == (64, 48)
    assert headers.avi_size(video(frames=2)) is None


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_the_size_of_a_jpeg_is_read_without_decoding(mode):
    assert headers.image_size(photo("JPEG", mode, size=(160, 120))) == (160, 120)


def test_a_progressive_jpeg_with_a_long_profile_is_read():
    data = photo(
        size=(90, 30), progressive=True, icc_profile=bytes(150_000), exif=b"Exif\0\0" + bytes(60_000)
    )
    assert headers.image_size(data) == (90, 30)


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {}), ("WEBP", {"lossless": True})])
def test_the_size_of_png_and_webp_is_read(kind, options):
    assert headers.image_size(photo(kind, size=(160, 121), **options)) == (160, 121)


def test_an_extended_webp_announces_its_canvas():
    assert headers.image_size(photo("WEBP", "RGBA", size=(33, 44), exif=b"Exif\0\0" + bytes(20))) == (33, 44)


def test_the_larger_of_two_jpeg_headers_counts():
    small = photo(size=(8, 8))
    at = small.find(b"\xff\xc0")
    hidden = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, 60_000, 60_000, 1) + bytes(3)
    assert headers.image_size(small[:at] + hidden + small[at:]) == (60_000, 60_000)


def test_a_jpeg_of_endless_segments_is_like_an_empty_photo():
    assert headers.image_size(b"\xff\xd8\xff" + b"\xff\xe0\x00\x02" * 10_000) == (0, 0)


@pytest.mark.parametrize("kept", range(4, 30, 3))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_header_that_is_cut_off_claims_nothing_or_the_truth(kind, kept):
    assert headers.image_size(photo(kind)[:kept]) in (None, (160, 120))


@pytest.mark.parametrize("kind", ["FLAC", "WAV"])
@pytest.mark.parametrize(("rate_hz", "channels"), [(8_000, 1), (44_100, 2), (192_000, 1), (48_000, 8)])
def test_rate_channels_and_length_of_a_recording_are_read(kind, rate_hz, channels):
    data = recording(kind, sine(rate_hz, 0.5, channels), rate_hz)
    assert headers.audio_header(data) == AudioHeader(rate_hz, channels, rate_hz // 2)


def test_the_length_of_an_ogg_is_the_position_of_its_last_page():
    data = recording("OGG", sine(44_100, 1.0, 2), 44_100, subtype="VORBIS")
    assert headers.audio_header(data) == AudioHeader(44_100, 2, 44_100)


def test_opus_plays_at_48_khz():
    header = headers.audio_header(recording("OGG", subtype="OPUS"))
    assert (header.rate_hz, header.channels) == (48_000, 1)


def test_a_wav_without_a_length_has_what_is_there():
    data = bytearray(recording("WAV", sine(seconds=0.25)))
    at = data.find(b"data") + 4
    data[at : at + 4] = b"\xff\xff\xff\xff"
    assert headers.audio_header(bytes(data)) == AudioHeader(16_000, 1, 4_000)


@pytest.mark.parametrize(
    "data", [b"fLaC", b"RIFF\0\0\0\0WAVE", b"OggS", b"OggS" + bytes(40), b"", b"\0" * 64]
)
def test_a_magic_alone_claims_nothing(data):
    assert headers.audio_header(data) is None
