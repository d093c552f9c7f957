"""Which payloads of a request are acceptable: pure functions over bytes, one sentence per refusal.

Only what is the caller's fault is refused; a file that merely does not decode costs its modality only.
Every sentence reads `<modality>: expected ..., got ...; <what to do>`.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from . import headers

NPY_MAGIC = b"\x93NUMPY"
RATES_HZ = (8_000, 192_000)
CHANNELS = (1, 8)
TEXTS = ("text", "question")  # modalities that are words, not files
# Spaces, line and paragraph breaks, control and format characters: all that a reader does not see.
INVISIBLE = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf"})
_SHOWN = 16  # bytes of a foreign file that a message quotes


class Refused(ValueError):
    """A request that the caller must change; `modality` says which part of it."""

    def __init__(self, modality: str, expected: str, got: str, advice: str) -> None:
        super().__init__(f"{modality}: expected {expected}, got {got}; {advice}")
        self.modality = modality


@dataclass(frozen=True)
class Limits:
    """What one pipeline accepts, from the `parameters` of its configuration.

    `max_bytes` is per modality. `audio_max_values` bounds samples x channels, so that no small file unpacks
    to gigabytes: 2^25 values are 128 MiB or 35 minutes at 16 kHz mono. Without any of `required` there is no
    answer at all, so that a request which lacks one is refused; other modalities may stay away.
    `max_under_way` is of requests that were let in and are not answered yet.
    """

    modalities: tuple[str, ...]
    max_bytes: Mapping[str, int]
    image_max_count: int = 5
    image_max_pixels: int = 50_000_000
    video_max_pixels: int = 4096 * 2304
    audio_max_values: int = 1 << 25
    sensor_columns: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    max_under_way: int = 256

    def __post_init__(self) -> None:
        unknown = [name for name in self.modalities if name not in CHECKS]
        if unknown or not self.modalities:
            raise ValueError(
                f"modalities: expected some of {', '.join(CHECKS)}, got {', '.join(unknown) or 'none'}; "
                "correct the config"
            )
        unbounded = [name for name in self.modalities if self.max_bytes.get(name, 0) < 1]
        if unbounded:
            raise ValueError(
                f"{unbounded[0]}_max_bytes: expected a positive number, got none; add it to the config"
            )
        foreign = [name for name in self.required if name not in self.modalities]
        if foreign:
            raise ValueError(
                f"required: expected some of {', '.join(self.modalities)}, got {', '.join(foreign)}; "
                "correct the config"
            )

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> Limits:
        """Read the string parameters of a config.pbtxt; numbers that are left out keep their default."""
        modalities = _names(parameters.get("modalities", ""))
        max_bytes = {name: int(parameters.get(f"{name}_max_bytes", 0)) for name in modalities}
        numbers = (
            "image_max_count",
            "image_max_pixels",
            "video_max_pixels",
            "audio_max_values",
            "max_under_way",
        )
        given: dict[str, Any] = {key: int(parameters[key]) for key in numbers if key in parameters}
        given |= {key: _names(parameters.get(key, "")) for key in ("sensor_columns", "required")}
        return cls(modalities, max_bytes, **given)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def presence(tensors: Mapping[str, np.ndarray], limits: Limits) -> np.ndarray:
    """Check every payload of one request.

    tensors: input name -> (1, bytes) uint8, `image_sizes` (1, photos) int64; a pipeline whose requests have
             no `image_sizes` takes one photo
    returns: (1, modalities) bool, True where something came
    raises:  Refused, with the sentence for the caller
    """
    for name, tensor in tensors.items():
        if tensor.ndim != 2 or tensor.shape[0] != 1:
            shape = "x".join(map(str, tensor.shape))
            raise Refused(
                name, "one payload per request (batch 1)", f"shape {shape}", "send one request per sample"
            )
    payloads = {name: tensors[name].reshape(-1) for name in limits.modalities}
    present = [payloads[name].size > 0 for name in limits.modalities]
    sizes = tensors["image_sizes"].reshape(-1) if "image_sizes" in tensors else None
    if sizes is not None and "image" in payloads and sizes.size > 0 and payloads["image"].size == 0:
        got = f"no bytes but image_sizes of {sizes.size} photos"
        raise Refused(
            "image", "the bytes that image_sizes describes", got, "send the photos or leave both empty"
        )
    for name in limits.required:
        if payloads[name].size == 0:
            expected = f"{' and '.join(limits.required)} in every request"
            raise Refused(name, expected, "an empty payload", f"send the bytes of the {name} too")
    if not any(present):
        raise _empty(limits.modalities)
    for name in limits.modalities:
        if payloads[name].size > 0:
            _check_one(name, payloads[name], sizes, limits)
    return np.array([present])


def _empty(modalities: tuple[str, ...]) -> Refused:
    if len(modalities) == 1:
        return Refused(modalities[0], "the bytes of a file", "an empty payload", "send a whole file")
    expected = f"at least one of {', '.join(modalities)}"
    return Refused("request", expected, "only empty payloads", "send the bytes of at least one modality")


def _check_one(name: str, payload: np.ndarray, sizes: np.ndarray | None, limits: Limits) -> None:
    if payload.size > limits.max_bytes[name]:
        got, most = f"{payload.size} bytes", f"at most {limits.max_bytes[name]} bytes"
        advice = f"shorten the {name}" if name in TEXTS else "shorten or compress the recording"
        raise Refused(name, most, got, advice)
    data = payload.tobytes()
    if name == "image" and sizes is not None:
        check_photos(data, sizes, limits)
    else:
        CHECKS[name](data, limits)


def check_video(data: bytes, limits: Limits) -> None:
    """Container and, for AVI, the announced frame size; the others are capped by the decoder."""
    if headers.video_container(data) is None:
        raise Refused("video", headers.VIDEO_MAGIC, _shown(data), "send the bytes of a whole video file")
    size = headers.avi_size(data)
    if size and size[0] * size[1] > limits.video_max_pixels:
        most = f"frames of at most {limits.video_max_pixels} pixels"
        raise Refused("video", most, f"{size[0]}x{size[1]}", "scale the video down")


def check_photos(data: bytes, sizes: np.ndarray, limits: Limits) -> None:
    """`sizes` must cut `data` into one to `image_max_count` files, each of a known kind and a sane size."""
    lengths = [int(size) for size in sizes]
    advice = "send the length in bytes of each photo as image_sizes"
    if not 1 <= len(lengths) <= limits.image_max_count:
        raise Refused(
            "image", f"1 to {limits.image_max_count} photos", f"{len(lengths)} entries in image_sizes", advice
        )
    if min(lengths) < 1:
        position = lengths.index(min(lengths)) + 1
        raise Refused(
            "image", "photos of at least 1 byte", f"{min(lengths)} bytes for photo {position}", advice
        )
    if sum(lengths) != len(data):
        got = f"sizes that sum to {sum(lengths)} for {len(data)} bytes"
        raise Refused("image", "image_sizes that sum to the length of image", got, advice)
    start = 0
    for number, length in enumerate(lengths, 1):
        check_photo(data[start : start + length], limits, f" in photo {number}")
        start += length


def check_photo(data: bytes, limits: Limits, place: str = "") -> None:
    """One file of a known kind that announces a sane size; `place` says in a message which of several."""
    if headers.image_kind(data) is None:
        raise Refused("image", headers.IMAGE_MAGIC, f"{_shown(data)}{place}", "convert the photo")
    size = headers.image_size(data)
    if size and not 1 <= size[0] * size[1] <= limits.image_max_pixels:
        most = f"photos of 1 to {limits.image_max_pixels} pixels"
        raise Refused("image", most, f"{size[0]}x{size[1]}{place}", "scale the photo down")


def check_audio(data: bytes, limits: Limits) -> None:
    """File kind, and the sample rate, channels and length that its header announces."""
    if headers.audio_kind(data) is None:
        raise Refused("audio", headers.AUDIO_MAGIC, _shown(data), "convert the recording")
    header = headers.audio_header(data)
    if header is None:
        return  # cut off inside its header, or a codec that this parser does not know: the decoder decides
    kind, advice = (
        f"FLAC, WAV or Ogg at {RATES_HZ[0] // 1000}-{RATES_HZ[1] // 1000} kHz",
        "re-record or leave the modality out",
    )
    if not RATES_HZ[0] <= header.rate_hz <= RATES_HZ[1]:
        raise Refused("audio", kind, f"{header.rate_hz} Hz", advice)
    if not CHANNELS[0] <= header.channels <= CHANNELS[1]:
        raise Refused("audio", f"{CHANNELS[0]} to {CHANNELS[1]} channels", f"{header.channels}", advice)
    if header.samples == 0:
        raise Refused("audio", "at least one sample", "0 samples in the header", advice)
    values = (header.samples or 0) * header.channels
    if values > limits.audio_max_values:
        most = f"at most {limits.audio_max_values} samples over all channels"
        raise Refused("audio", most, f"{values}", "cut the recording or lower its rate")


def check_sensor(data: bytes, limits: Limits) -> None:
    """A .npy array of one column per sensor, or CSV text that names every required column once."""
    if data.startswith(NPY_MAGIC):
        _check_npy(data, len(limits.sensor_columns))
    else:
        _check_csv(data, limits.sensor_columns)


def _check_npy(data: bytes, columns: int) -> None:
    expected, advice = f"a numeric .npy array of shape (rows, {columns})", "save it with numpy.save"
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(stream)
    except (ValueError, TypeError, SyntaxError, RecursionError, EOFError):
        raise Refused("sensor", expected, "an unreadable .npy header", advice) from None
    if dtype.kind not in "fiu":
        raise Refused("sensor", expected, f"dtype {dtype}", advice)
    if len(shape) != 2 or shape[1] != columns or shape[0] < 1:
        raise Refused("sensor", expected, f"shape {shape}", advice)
    wanted, there = shape[0] * shape[1] * dtype.itemsize, len(data) - stream.tell()
    if wanted != there:
        raise Refused("sensor", f"{wanted} bytes after the .npy header", f"{there}", "send the whole file")


def _check_csv(data: bytes, required: tuple[str, ...]) -> None:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        got, advice = f"byte 0x{data[error.start]:02x} at {error.start}", "save the CSV as UTF-8"
        raise Refused("sensor", "UTF-8 CSV text or a .npy file", got, advice) from None
    lines = [line for line in text.splitlines() if line.strip()]
    try:
        names = [name.strip() for name in next(csv.reader(lines[:1]), [])]
    except csv.Error:  # a field longer than csv's own limit
        names = []
    missing = [name for name in required if name not in names]
    if missing:
        got = f"a header without {', '.join(map(repr, missing))}"
        raise Refused(
            "sensor", f"CSV columns {', '.join(required)}", got, "name the columns in the first line"
        )
    repeated = [name for name in required if names.count(name) > 1]
    if repeated:
        got = f"{names.count(repeated[0])} columns {repeated[0]!r}"
        raise Refused("sensor", "every column once", got, "rename or drop the duplicates")
    if len(lines) < 2:
        raise Refused(
            "sensor", "at least one row of values", "the header line only", "send the recorded rows"
        )


def check_text(name: str, data: bytes, _: Limits) -> None:
    """UTF-8 with at least one character that can be seen; a byte order mark before it is no character."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        got = f"byte 0x{data[error.start]:02x} at {error.start}"
        raise Refused(name, "UTF-8 text", got, f"encode the {name} as UTF-8") from None
    if all(unicodedata.category(character) in INVISIBLE for character in text):
        got = f"{len(text)} blank characters" if len(text) != 1 else "one blank character"
        raise Refused(name, "a visible character", got, f"send a {name} of at least one word")


def _shown(data: bytes) -> str:
    return f"a file that starts with {data[:_SHOWN].hex(' ')}"


CHECKS: dict[str, Callable[..., None]] = {
    "video": check_video,
    "image": check_photo,
    "audio": check_audio,
    "sensor": check_sensor,
    **{name: partial(check_text, name) for name in TEXTS},
}
