"""The reference decoder: every format it meets; long, short, broken and missing payloads."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from PIL import Image

from multimodal.presets import PRESETS
from multimodal.weld_classes import SENSOR_COLUMNS
from training.decoding import (
    Status,
    decode_audio,
    decode_photos,
    decode_run,
    decode_video,
    fit_window,
    read_sensor,
    spread,
)
from training.weld_folder import read_run
from training.weld_runs import write_run

TINY, SMALL = PRESETS["tiny"], PRESETS["weld_small"]


def _video(frames: int, codec: str = "mpeg4", container: str = "avi", pixels: str = "yuv420p") -> bytes:
    """A video whose frame i is an even grey of 2 i + 20."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for index in range(frames):
            picture = np.full((48, 64), 20 + 2 * index, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="gray").reformat(format=pixels)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return file.getvalue()


def _photo(
    picture: NDArray[np.generic], kind: str = "PNG", mode: str | None = None, **options: object
) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(picture)
    (image.convert(mode) if mode else image).save(file, kind, **options)
    return file.getvalue()


def _sound(
    sound: NDArray[np.floating], rate: int = 16_000, kind: str = "FLAC", subtype: str | None = None
) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, sound, rate, format=kind, subtype=subtype)
    return file.getvalue()


def _log(rows: list[str], header: str = ",".join(SENSOR_COLUMNS)) -> bytes:
    return "\n".join([header, *rows]).encode()


def test_indices_are_spread_from_first_to_last_and_halves_round_up() -> None:
    assert spread(4, 10).tolist() == [0, 3, 6, 9]
    assert spread(3, 4).tolist() == [0, 2, 3]
    assert spread(4, 2).tolist() == [0, 0, 1, 1]
    assert spread(1, 9).tolist() == [0]


@pytest.mark.parametrize(
    ("codec", "container", "pixels"),
    [
        ("mpeg4", "avi", "yuv420p"),
        ("mjpeg", "avi", "yuvj420p"),
        ("mpeg4", "mp4", "yuv420p"),
        ("mpeg4", "matroska", "yuv420p"),
        ("ffv1", "matroska", "gray"),
    ],
)
def test_a_video_gives_evenly_spread_square_rgb_frames(codec: str, container: str, pixels: str) -> None:
    frames, status = decode_video(_video(31, codec, container, pixels), TINY.video)
    assert (status, frames.shape, frames.dtype) == (Status.OK, (4, 32, 32, 3), np.uint8)
    shades = frames.reshape(4, -1).mean(axis=1)
    assert np.abs(shades - [20, 40, 60, 80]).max() < 5  # frames 0, 10, 20 and 30
    assert np.ptp(frames, axis=-1).max() <= 3  # grey in all three channels


def test_a_short_video_repeats_frames() -> None:
    frames, status = decode_video(_video(2), TINY.video)
    assert status is Status.OK
    assert np.array_equal(frames[0], frames[1])
    assert np.array_equal(frames[2], frames[3])


def test_a_truncated_video_is_partial_and_spread_over_what_is_left() -> None:
    rng = np.random.default_rng(0)
    whole = _video(60, "mjpeg", pixels="yuvj420p")
    frames, status = decode_video(whole[: len(whole) * 6 // 10], TINY.video)
    assert status is Status.PARTIAL
    assert frames[-1].mean() > frames[0].mean() + 20
    assert decode_video(rng.bytes(500), TINY.video)[1] is Status.CORRUPT


@pytest.mark.parametrize("keep", [0.02, 0.1])
def test_a_video_cut_before_its_first_frame_is_corrupt_and_zero(keep: float) -> None:
    whole = _video(5)
    frames, status = decode_video(whole[: int(len(whole) * keep)], TINY.video)
    assert status is Status.CORRUPT
    assert not frames.any()


def test_a_sound_file_is_no_video() -> None:
    assert decode_video(_sound(np.zeros(100), kind="WAV"), TINY.video)[1] is Status.CORRUPT


@pytest.mark.parametrize(
    ("kind", "mode"), [("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGBA"), ("PNG", "P"), ("BMP", "RGB")]
)
def test_photos_of_any_kind_become_square_rgb(kind: str, mode: str) -> None:
    picture = np.full((30, 50, 3), 153, np.uint8)  # 3 x 51: in the web palette too
    pixels, valid, statuses, status = decode_photos([_photo(picture, kind, mode)], TINY.image)
    assert (status, pixels.shape) == (Status.OK, (5, 28, 28, 3))
    assert valid.tolist() == [True, False, False, False, False]
    assert statuses == (Status.OK, *[Status.ABSENT] * 4)
    assert np.abs(pixels[0].astype(int) - 153).max() <= 2
    assert not pixels[1:].any()


def test_alpha_is_dropped_and_sixteen_bits_are_cut_to_eight() -> None:
    transparent = np.full((8, 8, 4), (90, 90, 90, 0), np.uint8)
    deep = np.full((8, 8), 90 * 256, np.uint16)
    for payload in (_photo(transparent), _photo(deep)):
        assert (decode_photos([payload], TINY.image)[0][0] == 90).all()


def test_the_exif_orientation_is_ignored() -> None:
    picture = np.zeros((28, 28, 3), np.uint8)
    picture[:14] = 200
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    pixels = decode_photos([_photo(picture, "JPEG", exif=exif)], TINY.image)[0]
    assert pixels[0, :10].mean() > 190


def test_the_whole_photo_is_stretched_without_a_crop() -> None:
    picture = np.zeros((56, 112, 3), np.uint8)
    picture[:, :56] = 255
    pixels = decode_photos([_photo(picture)], TINY.image)[0]
    assert (pixels[0, :, :13] == 255).all()
    assert (pixels[0, :, 15:] == 0).all()


def test_one_bad_photo_of_several_costs_only_itself() -> None:
    good = _photo(np.full((20, 20, 3), 50, np.uint8), "JPEG")
    pixels, valid, statuses, status = decode_photos([good, good[: len(good) // 2], good], TINY.image)
    assert status is Status.PARTIAL
    assert valid.tolist() == [True, False, True, False, False]
    assert statuses[1] is Status.CORRUPT
    assert not pixels[1].any()
    assert decode_photos([b"no photo"], TINY.image)[3] is Status.CORRUPT
    assert decode_photos([], TINY.image)[3] is Status.ABSENT


@pytest.mark.parametrize(
    ("kind", "subtype"), [("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("WAV", "PCM_16"), ("WAV", "FLOAT")]
)
def test_a_short_sound_is_padded_with_zeros(kind: str, subtype: str) -> None:
    tone = 0.5 * np.sin(np.arange(3000) / 9)
    waveform, samples, status = decode_audio(_sound(tone, kind=kind, subtype=subtype), TINY.audio)
    assert (status, samples, waveform.shape) == (Status.OK, 3000, (TINY.audio.samples,))
    assert np.abs(waveform[:3000] - tone).max() < 1e-4
    assert not waveform[3000:].any()


def test_channels_are_averaged() -> None:
    stereo = np.stack([np.full(100, 0.5), np.full(100, -0.25)], axis=1)
    waveform, _, _ = decode_audio(_sound(stereo), TINY.audio)
    assert np.abs(waveform[:100] - 0.125).max() < 1e-4


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000, 192_000])
def test_other_rates_are_resampled_to_16_khz(rate: int) -> None:
    seconds = np.arange(int(0.3 * rate)) / rate
    waveform, samples, status = decode_audio(
        _sound(0.5 * np.sin(2 * np.pi * 440 * seconds), rate), TINY.audio
    )
    assert (status, samples) == (Status.OK, 4800)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(4800) / 16_000)
    assert np.abs(waveform[200:4600] - expected[200:4600]).max() < 0.01


def test_a_long_sound_is_heard_in_four_excerpts_from_start_to_end() -> None:
    window = fit_window(np.arange(100, dtype=np.float32), 16)
    assert window.tolist() == [0, 1, 2, 3, 32, 33, 34, 35, 64, 65, 66, 67, 96, 97, 98, 99]
    long = np.linspace(-0.9, 0.9, 5 * TINY.audio.samples)
    waveform, samples, _ = decode_audio(_sound(long), TINY.audio)
    assert samples == TINY.audio.samples
    assert waveform[0] == pytest.approx(-0.9, abs=1e-3)
    assert waveform[-1] == pytest.approx(0.9, abs=1e-3)


@pytest.mark.parametrize("kind", ["FLAC", "WAV"])
def test_a_truncated_sound_is_corrupt(kind: str) -> None:
    whole = _sound(np.random.default_rng(0).uniform(-0.5, 0.5, 9000), kind=kind)
    waveform, samples, status = decode_audio(whole[: len(whole) * 2 // 3], TINY.audio)
    assert (status, samples) == (Status.CORRUPT, 0)
    assert not waveform.any()


@pytest.mark.parametrize(
    "payload",
    [b"not sound", _sound(np.zeros(0), kind="WAV"), _sound(np.full(50, np.nan), kind="WAV", subtype="FLOAT")],
)
def test_noise_emptiness_and_nan_are_corrupt_sound(payload: bytes) -> None:
    assert decode_audio(payload, TINY.audio)[2] is Status.CORRUPT


def test_a_log_is_read_by_column_names_and_resampled_linearly() -> None:
    header = "Remarks,Secondary Weld Voltage,Wire Consumed,Primary Weld Current,Feed,CO2 Weld Flow,Pressure"
    series, status = read_sensor(_log(["ok,6,5,4,3,2,1", ",66,65,64,63,62,61"], header), TINY.sensor)
    assert (status, series.shape, series.dtype) == (Status.OK, (32, 6), np.float32)
    assert series[0].tolist() == [1, 2, 3, 4, 5, 6]
    assert series[-1].tolist() == [61, 62, 63, 64, 65, 66]
    assert np.abs(np.diff(series[:, 0]) - 60 / 31).max() < 1e-4


def test_rows_with_a_hole_are_dropped_and_reported() -> None:
    rows = ["1,1,1,1,1,1", "2,2,,2,2,2", "2,2,nan,2,2,2", "2,2,x,2,2,2", "2,2", "3,3,3,3,3,3", ""]
    series, status = read_sensor(_log(rows), TINY.sensor)
    assert status is Status.PARTIAL
    assert (series[0, 0], series[-1, 0]) == (1, 3)
    assert np.isfinite(series).all()


@pytest.mark.parametrize(
    "payload",
    [
        _log(["1,1,1,1,1,1"]),
        _log(["1,2", "x"]),
        _log(["1,2", "3,4"], header="Pressure,Feed"),
        b"\xff\xfe\x00binary",
        b"\n",
        b"\x93NUMPY\x01\x00truncated",
    ],
    ids=["one row", "no full row", "columns missing", "binary", "blank", "broken npy"],
)
def test_what_is_no_log_is_corrupt_and_zero(payload: bytes) -> None:
    series, status = read_sensor(payload, TINY.sensor)
    assert status is Status.CORRUPT
    assert not series.any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_a_npy_array_is_taken_in_the_order_of_the_columns(dtype: type) -> None:
    file = io.BytesIO()
    np.save(file, np.arange(60, dtype=dtype).reshape(10, 6))
    series, status = read_sensor(file.getvalue(), TINY.sensor)
    assert status is Status.OK
    assert series[-1].tolist() == [54, 55, 56, 57, 58, 59]


def test_a_npy_array_of_another_shape_or_kind_is_corrupt() -> None:
    for array in (np.zeros((4, 5)), np.zeros(12), np.asarray([["a"] * 6] * 3)):
        file = io.BytesIO()
        np.save(file, array)
        assert read_sensor(file.getvalue(), TINY.sensor)[1] is Status.CORRUPT


def test_an_empty_payload_is_absent_and_zero() -> None:
    assert decode_video(b"", TINY.video)[1] is Status.ABSENT
    assert decode_audio(b"", TINY.audio)[2] is Status.ABSENT
    assert read_sensor(b"", TINY.sensor)[1] is Status.ABSENT


def test_a_run_becomes_the_tensors_of_the_contract(tmp_path: Path) -> None:
    folder = tmp_path / "01-02-23-0001-02"
    write_run(folder, 2, seed=1)
    (folder / f"{folder.name}.flac").unlink()
    decoded = decode_run(read_run(folder, 2), SMALL)
    shapes = {name: (array.shape, str(array.dtype)) for name, array in decoded.raw.items()}
    assert shapes == {
        "video": ((16, 96, 96, 3), "uint8"),
        "image": ((5, 112, 112, 3), "uint8"),
        "audio": ((82160,), "float32"),
        "audio_samples": ((1,), "int32"),
        "sensor": ((256, 6), "float32"),
    }
    assert {name: mask.tolist() for name, mask in decoded.valid.items()} == {
        "video": [True],
        "image": [True] * 5,
        "audio": [False],
        "sensor": [True],
    }
    assert decoded.statuses["audio"] is Status.ABSENT
