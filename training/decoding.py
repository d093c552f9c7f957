"""The reference decoder: bytes of one weld to the tensors the networks take.

It defines what the serving backend must reproduce. PyAV, Pillow, soundfile and scipy do the work. Nothing
is random, and a payload that cannot be read gives zeros, an invalid mark and a status, never an exception.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from enum import IntEnum

import av
import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image as Pillow
from scipy.signal import resample_poly

from multimodal.presets import Audio, Image, Sensor, Video, WeldPreset
from multimodal.weld_classes import MODALITIES, SENSOR_COLUMNS
from training.weld_folder import WeldRun

EXCERPTS = 4  # of a recording longer than the window


class Status(IntEnum):
    """What became of a payload; OK and PARTIAL are usable."""

    OK = 0
    ABSENT = 1
    PARTIAL = 2
    CORRUPT = 3

    @property
    def usable(self) -> bool:
        """Whether the decoded rows carry data."""
        return self in (Status.OK, Status.PARTIAL)


@dataclass(frozen=True)
class DecodedWeld:
    """The tensors of one weld, without a batch dimension.

    raw:   video (frames, size, size, 3) uint8, image (count, size, size, 3) uint8,
           audio (samples,) float32 in [-1, 1], audio_samples (1,) int32 (real samples before the padding),
           sensor (steps, 6) float32 in the units of the log
    valid: modality -> (1,) bool, image (count,) bool
    """

    raw: dict[str, NDArray[np.generic]]
    valid: dict[str, NDArray[np.bool_]]
    statuses: dict[str, Status]
    image_statuses: tuple[Status, ...]


def spread(count: int, total: int) -> NDArray[np.int64]:
    """`count` indices from first to last of `total`, (count,): floor(i (total - 1) / (count - 1) + 0.5)."""
    if count == 1:
        return np.zeros(1, np.int64)
    return np.floor(np.arange(count) * (total - 1) / (count - 1) + 0.5).astype(np.int64)


def _walk_video(payload: bytes, wanted: set[int]) -> tuple[int, int, dict[int, NDArray[np.uint8]]]:
    """Decode a file once: frames the header declares (0: unknown), frames decoded, the wanted ones in RGB."""
    pictures: dict[int, NDArray[np.uint8]] = {}
    count = 0
    with av.open(io.BytesIO(payload), "r") as container:
        stream = container.streams.video[0]
        stream.thread_count = 1  # workers share the cores already, and errors then hit the same frames
        declared = stream.frames
        try:
            for frame in container.decode(stream):
                if count in wanted:
                    colour = frame.reformat(format="rgb24", threads=1)
                    pictures[count] = np.asarray(colour.to_ndarray(), np.uint8)
                count += 1
        except av.FFmpegError:
            declared = max(declared, count + 2)  # the rest is lost, whatever the header said
    return declared, count, pictures


def _declared_frames(payload: bytes) -> int:
    with av.open(io.BytesIO(payload), "r") as container:
        return container.streams.video[0].frames


def decode_video(payload: bytes, spec: Video) -> tuple[NDArray[np.uint8], Status]:
    """Decode a video to evenly spread frames, each stretched to a square, (frames, size, size, 3) uint8 RGB.

    PARTIAL: at least two frames fewer than the container declares; CORRUPT: no frame at all
    """
    nothing = np.zeros((spec.frames, spec.size_px, spec.size_px, 3), np.uint8)
    if not payload:
        return nothing, Status.ABSENT
    try:
        expected = _declared_frames(payload)
        picks = spread(spec.frames, expected) if expected else np.zeros(0, np.int64)
        declared, count, pictures = _walk_video(payload, set(picks.tolist()))
        if count and count != expected:  # the header was wrong, so were the picks
            picks = spread(spec.frames, count)
            _, _, pictures = _walk_video(payload, set(picks.tolist()))
    except (av.FFmpegError, IndexError, ValueError):
        return nothing, Status.CORRUPT
    if not count:
        return nothing, Status.CORRUPT
    small = {index: _squeeze(Pillow.fromarray(picture), spec.size_px) for index, picture in pictures.items()}
    status = Status.PARTIAL if count + 1 < declared else Status.OK
    return np.stack([small[int(index)] for index in picks]), status


def _squeeze(picture: Pillow.Image, size_px: int) -> NDArray[np.uint8]:
    """Stretch a whole RGB picture to (size, size, 3) with Pillow's antialiased triangle filter."""
    return np.asarray(picture.resize((size_px, size_px), Pillow.Resampling.BILINEAR))


def _open_photo(payload: bytes) -> Pillow.Image:
    """RGB picture; grey is replicated, alpha dropped, 16 bits cut to 8, the EXIF orientation ignored."""
    picture: Pillow.Image = Pillow.open(io.BytesIO(payload))
    picture.load()
    if picture.mode.startswith("I"):
        high = np.asarray(picture).astype(np.int64) >> 8
        return Pillow.fromarray(np.clip(high, 0, 255).astype(np.uint8)).convert("RGB")
    if picture.mode == "P":
        picture = picture.convert("RGBA")
    return picture.convert("RGB")


def decode_photo(payload: bytes, size_px: int) -> tuple[NDArray[np.uint8], Status]:
    """Decode one photo, stretched to a square: (size, size, 3) uint8 RGB and what became of it."""
    nothing = np.zeros((size_px, size_px, 3), np.uint8)
    if not payload:
        return nothing, Status.ABSENT
    try:
        return _squeeze(_open_photo(payload), size_px), Status.OK
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError):  # SyntaxError: a broken PNG
        return nothing, Status.CORRUPT


def decode_photos(
    payloads: list[bytes], spec: Image
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], tuple[Status, ...], Status]:
    """Decode up to `count` photos, each stretched to a square.

    returns pixels (count, size, size, 3) uint8 RGB, valid (count,), the status of every photo and that of all
    together: PARTIAL where some cannot be read, CORRUPT where none can
    """
    pixels = np.zeros((spec.count, spec.size_px, spec.size_px, 3), np.uint8)
    statuses = [Status.ABSENT] * spec.count
    for index, payload in enumerate(payloads[: spec.count]):
        pixels[index], statuses[index] = decode_photo(payload, spec.size_px)
    valid = np.asarray([status.usable for status in statuses])
    bad = Status.CORRUPT in statuses
    whole = (
        (Status.PARTIAL if bad else Status.OK) if valid.any() else (Status.CORRUPT if bad else Status.ABSENT)
    )
    return pixels, valid, tuple(statuses), whole


def _read_sound(payload: bytes) -> tuple[NDArray[np.float32], int]:
    """Mono samples (n,) float32 and their rate; raises ValueError for a file that ends too early."""
    size = int.from_bytes(payload[4:8], "little")
    if payload[:4] == b"RIFF" and size != 0xFFFFFFFF and size + 8 > len(payload) + 1:
        raise ValueError(f"the RIFF header announces {size + 8} bytes, got {len(payload)}")
    with soundfile.SoundFile(io.BytesIO(payload)) as file:
        declared, rate = file.frames, file.samplerate
        sound = file.read(dtype="float32", always_2d=True)
    if not len(sound) or len(sound) < declared:
        raise ValueError(f"the header announces {declared} samples, got {len(sound)}")
    return sound.mean(axis=1), rate


def fit_window(sound: NDArray[np.float32], samples: int) -> NDArray[np.float32]:
    """Fit (n,) into (samples,): zeros behind a short sound; of a long one, four evenly spread excerpts."""
    window = np.zeros(samples, np.float32)
    if len(sound) <= samples:
        window[: len(sound)] = sound
        return window
    length = samples // EXCERPTS
    for index, start in enumerate(spread(EXCERPTS, len(sound) - length + 1)):
        window[index * length : (index + 1) * length] = sound[start : start + length]
    return window


def decode_audio(payload: bytes, spec: Audio) -> tuple[NDArray[np.float32], int, Status]:
    """Decode a sound file to mono at the model's rate: (samples,) float32 in [-1, 1], its length, status.

    length: real samples, before the zeros; CORRUPT: unreadable, empty or ending before its header says
    """
    nothing = np.zeros(spec.samples, np.float32)
    if not payload:
        return nothing, 0, Status.ABSENT
    try:
        sound, rate = _read_sound(payload)
    except (soundfile.SoundFileError, ValueError):
        return nothing, 0, Status.CORRUPT
    if rate != spec.sample_rate_hz:
        common = np.gcd(rate, spec.sample_rate_hz)
        sound = resample_poly(sound, spec.sample_rate_hz // common, rate // common).astype(np.float32)
    if not np.isfinite(sound).all():
        return nothing, 0, Status.CORRUPT
    window = fit_window(np.clip(sound, -1, 1), spec.samples)
    return window, min(len(sound), spec.samples), Status.OK


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _sensor_table(payload: bytes) -> NDArray[np.float64]:
    """Rows (n, 6) of a .npy array or CSV text, NaN where a cell is no number; ValueError without columns."""
    if payload.startswith(b"\x93NUMPY"):
        table = np.load(io.BytesIO(payload), allow_pickle=False)
        if table.ndim != 2 or table.shape[1] != len(SENSOR_COLUMNS) or table.dtype.kind not in "fiu":
            raise ValueError(
                f"expected numbers of shape (rows, {len(SENSOR_COLUMNS)}), got {table.dtype} {table.shape}"
            )
        return table.astype(np.float64)
    lines = [row for row in csv.reader(io.StringIO(payload.decode("utf-8-sig"), newline="")) if row]
    header = [name.strip() for name in lines[0]] if lines else []
    places = [header.index(name) for name in SENSOR_COLUMNS]
    wide = max(places) + 1
    rows = [
        [_number(row[place]) for place in places] if len(row) >= wide else [np.nan] * 6 for row in lines[1:]
    ]
    return np.asarray(rows, np.float64).reshape(-1, len(SENSOR_COLUMNS))


def read_sensor(payload: bytes, spec: Sensor) -> tuple[NDArray[np.float32], Status]:
    """Read a sensor log (CSV or .npy), resampled linearly over its rows: (steps, 6) float32, physical units.

    PARTIAL: rows without six finite numbers were dropped; CORRUPT: fewer than two rows left, or not a log
    """
    nothing = np.zeros((spec.steps, spec.channels), np.float32)
    if not payload:
        return nothing, Status.ABSENT
    try:
        table = _sensor_table(payload)
    except (ValueError, EOFError, csv.Error):
        return nothing, Status.CORRUPT
    rows = table[np.isfinite(table).all(axis=1)]
    if len(rows) < 2:
        return nothing, Status.CORRUPT
    place, known = np.linspace(0, len(rows) - 1, spec.steps), np.arange(len(rows))
    series = np.stack([np.interp(place, known, channel) for channel in rows.T], axis=1)
    return series.astype(np.float32), Status.PARTIAL if len(rows) < len(table) else Status.OK


def decode_run(run: WeldRun, preset: WeldPreset) -> DecodedWeld:
    """Decode every file of a run; modalities without a file are ABSENT."""

    def content(modality: str) -> bytes:
        path = getattr(run, modality)
        return path.read_bytes() if path else b""

    video, video_status = decode_video(content("video"), preset.video)
    pixels, image_valid, image_statuses, image_status = decode_photos(
        [photo.read_bytes() for photo in run.photos], preset.image
    )
    waveform, samples, audio_status = decode_audio(content("audio"), preset.audio)
    series, sensor_status = read_sensor(content("sensor"), preset.sensor)
    statuses = dict(zip(MODALITIES, (video_status, image_status, audio_status, sensor_status), strict=True))
    valid = {name: np.asarray([status.usable]) for name, status in statuses.items()} | {"image": image_valid}
    raw: dict[str, NDArray[np.generic]] = {
        "video": video,
        "image": pixels,
        "audio": waveform,
        "audio_samples": np.asarray([samples], np.int32),
        "sensor": series,
    }
    return DecodedWeld(raw, valid, statuses, image_statuses)
