import re
import struct

import numpy as np
import pytest

from multimodal.weld_classes import MODALITIES, SENSOR_COLUMNS
from serving.backends.gate.payloads import Limits, Refused, presence
from tests.serving.preprocess import files

PARAMETERS = {
    "modalities": ",".join(MODALITIES),
    "video_max_bytes": "100000",
    "image_max_bytes": "200000",
    "image_max_count": "5",
    "image_max_pixels": "1000000",
    "audio_max_bytes": "400000",
    "sensor_max_bytes": "100000",
    "sensor_columns": ",".join(SENSOR_COLUMNS),
}
LIMITS = Limits.from_parameters(PARAMETERS)


def batched(**given) -> dict[str, np.ndarray]:
    return {name: tensor[None] for name, tensor in files.payloads(**given).items()}


def refusal(tensors: dict[str, np.ndarray], limits: Limits = LIMITS) -> str:
    with pytest.raises(Refused) as caught:
        presence(tensors, limits)
    assert re.fullmatch(r"\w+: expected [^;\n]+, got [^;\n]+; [^;\n]+", str(caught.value)), str(caught.value)
    return str(caught.value)


def jpeg_of(width: int, height: int) -> bytes:
    data = bytearray(files.photo())
    at = data.find(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def png_of(width: int, height: int) -> bytes:
    data = bytearray(files.photo("PNG"))
    data[16:24] = struct.pack(">II", width, height)
    return bytes(data)


def flac_of(rate_hz: int = 16_000, channels: int = 1, samples: int = 16_000) -> bytes:
    data = bytearray(files.recording())
    data[18:26] = (rate_hz << 44 | (channels - 1) << 41 | 15 << 36 | samples).to_bytes(8, "big")
    return bytes(data)


def wav_of(rate_hz: int = 16_000, channels: int = 1) -> bytes:
    data = bytearray(files.recording("WAV"))
    struct.pack_into(
        "<HIIH", data, data.find(b"fmt ") + 10, channels, rate_hz, 2 * rate_hz * channels, 2 * channels
    )
    return bytes(data)


def avi_of(width: int, height: int) -> bytes:
    data = bytearray(files.video("mjpeg", "avi", frames=2))
    struct.pack_into("<II", data, data.find(b"avih") + 40, width, height)
    return bytes(data)


WHOLE = {
    "video": {"video": files.video(frames=2)},
    "image": {"images": [files.photo(), files.photo("PNG"), files.photo("WEBP")]},
    "audio": {"audio": files.recording()},
    "sensor": {"sensor": files.csv_log()},
}


@pytest.mark.parametrize(
    "chosen", [("video",), ("image",), ("audio",), ("sensor",), ("video", "sensor"), MODALITIES]
)
def test_present_says_which_modalities_came(chosen):
    given = {key: value for name in chosen for key, value in WHOLE[name].items()}
    assert presence(batched(**given), LIMITS).tolist() == [[name in chosen for name in MODALITIES]]


@pytest.mark.parametrize(
    "sensor", [files.npy_log(), b"\xef\xbb\xbf" + files.csv_log(), files.csv_log().replace(b"\n", b"\r\n")]
)
@pytest.mark.parametrize("audio", [files.recording("WAV"), files.recording("OGG"), files.recording("FLAC")])
def test_every_documented_format_passes(sensor, audio):
    assert presence(batched(sensor=sensor, audio=audio), LIMITS).tolist() == [[False, False, True, True]]


def test_a_file_that_merely_does_not_decode_is_not_the_gates_business():
    cut = {"video": files.video()[:300], "audio": files.recording()[:60], "images": [files.photo()[:500]]}
    assert presence(batched(**cut), LIMITS).tolist() == [[True, True, True, False]]


def test_a_request_without_any_modality_is_refused():
    assert refusal(batched()) == (
        "request: expected at least one of video, image, audio, sensor, got only empty payloads; "
        "send the bytes of at least one modality"
    )


def test_more_than_one_sample_in_a_request_is_refused():
    tensors = batched(sensor=files.csv_log()) | {"video": np.zeros((2, 5), np.uint8)}
    assert refusal(tensors) == (
        "video: expected one payload per request (batch 1), got shape 2x5; send one request per sample"
    )


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"video": bytes(100_001)}, "video: expected at most 100000 bytes, got 100001 bytes; shorten"),
        ({"images": [bytes(200_001)]}, "image: expected at most 200000 bytes, got 200001 bytes; shorten"),
        ({"audio": bytes(400_001)}, "audio: expected at most 400000 bytes, got 400001 bytes; shorten"),
        ({"sensor": bytes(100_001)}, "sensor: expected at most 100000 bytes, got 100001 bytes; shorten"),
    ],
)
def test_a_payload_beyond_its_limit_is_refused(given, sentence):
    assert refusal(batched(**given)).startswith(sentence)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"video": b"hello"},
            "video: expected RIFF AVI, MP4/MOV (ftyp) or Matroska/WebM (EBML), "
            "got a file that starts with 68 65 6c 6c 6f; send the bytes of a whole video file",
        ),
        (
            {"video": files.recording("WAV")[:12]},
            "video: expected RIFF AVI, MP4/MOV (ftyp) or Matroska/WebM (EBML), got a file that starts with ",
        ),
        (
            {"images": [files.photo(), b"GIF89a"]},
            "image: expected JPEG, PNG or WebP, got a file that starts with 47 49 46 38 39 61 in photo 2; "
            "convert the photo",
        ),
        (
            {"audio": b"ID3\x04"},
            "audio: expected FLAC, RIFF WAVE or Ogg, got a file that starts with 49 44 33 04; convert",
        ),
    ],
)
def test_a_foreign_magic_number_is_refused_and_quoted(given, sentence):
    assert refusal(batched(**given)).startswith(sentence)


@pytest.mark.parametrize("photo", [jpeg_of(60_000, 60_000), png_of(60_000, 60_000)])
def test_a_photo_that_announces_gigabytes_is_refused(photo):
    assert refusal(batched(images=[files.photo(), photo])) == (
        "image: expected photos of 1 to 1000000 pixels, got 60000x60000 in photo 2; scale the photo down"
    )


def test_a_photo_without_pixels_is_refused():
    assert "got 0x120 in photo 1" in refusal(batched(images=[jpeg_of(0, 120)]))


def test_an_avi_that_announces_gigabytes_is_refused():
    assert refusal(batched(video=avi_of(30_000, 20_000))) == (
        "video: expected frames of at most 9437184 pixels, got 30000x20000; scale the video down"
    )


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        (
            [],
            "image: expected 1 to 5 photos, got 0 entries in image_sizes; send the length",
        ),
        ([1] * 6, "image: expected 1 to 5 photos, got 6 entries in image_sizes; send"),
        ([10, 0], "image: expected photos of at least 1 byte, got 0 bytes for photo 2; send"),
        ([10, -3], "image: expected photos of at least 1 byte, got -3 bytes for photo 2; send"),
        (
            [10, 20],
            "image: expected image_sizes that sum to the length of image, got sizes that sum to 30 for",
        ),
    ],
)
def test_image_sizes_must_cut_the_photos(sizes, sentence):
    tensors = batched(images=[files.photo()]) | {"image_sizes": np.array([sizes], np.int64)}
    assert refusal(tensors).startswith(sentence)


def test_image_sizes_without_photos_are_refused():
    tensors = batched(sensor=files.csv_log()) | {"image_sizes": np.array([[4]])}
    assert refusal(tensors) == (
        "image: expected the bytes that image_sizes describes, got no bytes but image_sizes of 1 photos; "
        "send the photos or leave both empty"
    )


RATES = "audio: expected FLAC, WAV or Ogg at 8-192 kHz, got"
ADVICE = "re-record or leave the modality out"


@pytest.mark.parametrize(
    ("audio", "sentence"),
    [
        (flac_of(rate_hz=4_000), f"{RATES} 4000 Hz; {ADVICE}"),
        (flac_of(rate_hz=400_000), f"{RATES} 400000 Hz; {ADVICE}"),
        (wav_of(rate_hz=0), f"{RATES} 0 Hz; {ADVICE}"),
        (wav_of(channels=30), f"audio: expected 1 to 8 channels, got 30; {ADVICE}"),
        (flac_of(samples=0), f"audio: expected at least one sample, got 0 samples in the header; {ADVICE}"),
        (
            files.recording("WAV", np.zeros((0, 1))),
            f"audio: expected at least one sample, got 0 samples in the header; {ADVICE}",
        ),
        (
            flac_of(channels=8, samples=1 << 35),
            "audio: expected at most 33554432 samples over all channels, got 274877906944; "
            "cut the recording or lower its rate",
        ),
    ],
)
def test_an_absurd_audio_header_is_refused(audio, sentence):
    assert refusal(batched(audio=audio)) == sentence


ARRAY = "sensor: expected a numeric .npy array of shape (rows, 6), got"


@pytest.mark.parametrize(
    ("sensor", "sentence"),
    [
        (files.npy_log(np.zeros((5, 4))), f"{ARRAY} shape (5, 4); save it with numpy.save"),
        (files.npy_log(np.zeros(6)), f"{ARRAY} shape (6,); save it with numpy.save"),
        (files.npy_log(np.zeros((0, 6))), f"{ARRAY} shape (0, 6); save it with numpy.save"),
        (files.npy_log(np.full((2, 6), "x", object)), f"{ARRAY} dtype object; save it with numpy.save"),
        (files.npy_log(np.zeros((2, 6), complex)), f"{ARRAY} dtype complex128; save it with numpy.save"),
        (b"\x93NUMPY\x01\x00", f"{ARRAY} an unreadable .npy header; save it with numpy.save"),
        (b"\x93NUMPY\x09\x09" + bytes(100), f"{ARRAY} an unreadable .npy header; save it with numpy.save"),
        (
            files.npy_log(files.rows(10))[:-48],
            "sensor: expected 480 bytes after the .npy header, got 432; send the whole file",
        ),
    ],
)
def test_an_array_that_is_no_sensor_log_is_refused(sensor, sentence):
    assert refusal(batched(sensor=sensor)) == sentence


NAMED = f"sensor: expected CSV columns {', '.join(SENSOR_COLUMNS)}, got a header without"


@pytest.mark.parametrize(
    ("sensor", "sentence"),
    [
        (
            files.csv_log(columns=(*SENSOR_COLUMNS[:5], "x")),
            f"{NAMED} 'Secondary Weld Voltage'; name the columns",
        ),
        (
            files.csv_log(columns=("x", "y", *SENSOR_COLUMNS[2:])),
            f"{NAMED} 'Pressure', 'CO2 Weld Flow'; name",
        ),
        (b"\n \n", f"{NAMED} 'Pressure', 'CO2 Weld Flow', 'Feed', 'Primary Weld Current'"),
        (
            files.csv_log(np.zeros((2, 7)), (*SENSOR_COLUMNS, "Feed")),
            "sensor: expected every column once, got 2 columns 'Feed'; rename or drop the duplicates",
        ),
        (
            files.csv_log(np.zeros((0, 6))),
            "sensor: expected at least one row of values, got the header line only; send the recorded rows",
        ),
        (
            "Pressure,Größe\n1,2\n".encode("latin-1"),
            "sensor: expected UTF-8 CSV text or a .npy file, got byte 0xf6 at 11; save the CSV as UTF-8",
        ),
        (
            files.csv_log().decode().encode("utf-16"),
            "sensor: expected UTF-8 CSV text or a .npy file, got byte 0xff at 0; save the CSV as UTF-8",
        ),
    ],
)
def test_a_text_that_is_no_sensor_log_is_refused(sensor, sentence):
    assert refusal(batched(sensor=sensor)).startswith(sentence)


def test_a_refusal_names_the_modality_for_the_counter():
    with pytest.raises(Refused) as caught:
        presence(batched(audio=b"no"), LIMITS)
    assert caught.value.modality == "audio"


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        (
            {},
            "modalities: expected some of video, image, audio, sensor, text, question, got none; "
            "correct the config",
        ),
        (
            {"modalities": "smell"},
            "modalities: expected some of video, image, audio, sensor, text, question, got smell; "
            "correct the config",
        ),
        (
            {"modalities": "audio"},
            "audio_max_bytes: expected a positive number, got none; add it to the config",
        ),
    ],
)
def test_a_gate_without_sane_limits_does_not_load(parameters, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        Limits.from_parameters(parameters)


def test_random_bytes_behind_every_magic_are_passed_or_refused_but_never_break_the_gate():
    generator = np.random.default_rng(0)
    magics = [
        b"RIFF\0\0\0\0AVI ",
        b"\0\0\0\0ftyp",
        b"\x1a\x45\xdf\xa3",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
    ]
    magics += [
        b"RIFF\0\0\0\0WEBPVP8X",
        b"fLaC\0",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"OggS",
        b"\x93NUMPY\x01\0",
        b"Pressure,",
    ]
    for round_ in range(200):
        data = magics[round_ % len(magics)] + generator.bytes(int(generator.integers(0, 200)))
        for name in ("video", "images", "audio", "sensor"):
            try:
                presence(batched(**{name: [data] if name == "images" else data}), LIMITS)
            except Refused as refused:
                assert str(refused)
