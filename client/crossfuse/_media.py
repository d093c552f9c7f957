"""Recordings decoded for the eye; what the server decoded for the model is its own business.

What cannot be decoded here raises ValueError: a picture then shows the panel without it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import av
import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image

from ._payloads import Payload, array_bytes, file_bytes, photo_bytes

THUMBNAIL_PX = 320
SENSOR_CHANNELS = 6
NPY_MAGIC = b"\x93NUMPY"


@dataclass(frozen=True)
class Film:
    """Frames at the middle of evenly spaced slices."""

    frames: list[NDArray[np.uint8]]
    """Each (height, width, 3) RGB."""
    at_s: list[float]
    duration_s: float


@dataclass(frozen=True)
class Sound:
    """A mono waveform."""

    samples: NDArray[np.float32]
    rate_hz: int

    @property
    def duration_s(self) -> float:
        """Length of the recording."""
        return len(self.samples) / self.rate_hz


@dataclass(frozen=True)
class Log:
    """Sensor rows (rows, channels) and the channels' names."""

    names: tuple[str, ...]
    rows: NDArray[np.float64]


def read_film(payload: Payload, slices: int) -> Film:
    """The middle frame of each of `slices` parts of a video. raises: ValueError if not one frame decodes."""
    data = file_bytes("video", cast(Any, payload))
    try:
        count, duration_s = _measure_film(data)
        wanted = [int((part + 0.5) * count / slices) for part in range(slices)]
        picked = _pick_frames(data, wanted)
        frames = [picked[index] for index in wanted]
        return Film(frames, [duration_s * index / count for index in wanted], duration_s)
    except (av.error.FFmpegError, IndexError, ZeroDivisionError) as error:
        raise ValueError(f"video: expected frames, got none ({error}); record the weld again") from error


def _measure_film(data: bytes) -> tuple[int, float]:
    """Frames that decode, and seconds; what follows a broken frame is lost."""
    count, rate_hz = 0, 1.0
    with av.open(io.BytesIO(data), mode="r") as container:
        stream = container.streams.video[0]
        rate_hz = float(stream.average_rate or 25)
        try:
            for _ in container.decode(stream):
                count += 1
        except av.error.FFmpegError:
            if count == 0:
                raise
    return count, count / rate_hz


def read_frames(payload: Payload, numbers: Sequence[int]) -> dict[int, NDArray[np.uint8]]:
    """Frames of a video by their numbers, counted from 0; those that do not decode here are left out.

    raises: ValueError if not one of them decodes
    """
    data = file_bytes("video", cast(Any, payload))
    try:
        picked = _pick_frames(data, numbers)
    except (av.error.FFmpegError, IndexError) as error:
        raise ValueError(f"video: expected frames, got none ({error}); send another file") from error
    if not picked:
        raise ValueError("video: expected frames, got none; send another file")
    return picked


def announced_s(payload: Payload) -> float | None:
    """Seconds that a video's container announces, whether or not they are in it; None if it does not say."""
    data = file_bytes("video", cast(Any, payload))
    try:
        with av.open(io.BytesIO(data), mode="r") as container:
            return None if container.duration is None else container.duration / av.time_base
    except av.error.FFmpegError:
        return None


def _pick_frames(data: bytes, wanted: Sequence[int]) -> dict[int, NDArray[np.uint8]]:
    picked: dict[int, NDArray[np.uint8]] = {}
    with av.open(io.BytesIO(data), mode="r") as container:
        try:
            for index, frame in enumerate(container.decode(video=0)):
                if index in wanted:
                    picked[index] = _shrink(frame.to_image())
                if index >= max(wanted):
                    break
        except av.error.FFmpegError:
            if not picked:
                raise
    return picked


def read_photo(payload: Any, longest_px: int = THUMBNAIL_PX) -> NDArray[np.uint8]:
    """One photo as (height, width, 3) RGB, made smaller where its longer side has more pixels.

    raises: ValueError if it does not decode
    """
    try:
        with Image.open(io.BytesIO(photo_bytes("image", payload))) as photo:
            return _shrink(photo, longest_px)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"image: expected a photo, got {error}; take it again") from error


def _shrink(picture: Image.Image, longest_px: int = THUMBNAIL_PX) -> NDArray[np.uint8]:
    small = picture.convert("RGB")
    small.thumbnail((longest_px, longest_px))
    return np.asarray(small)


def read_sound(payload: Payload) -> Sound:
    """A recording, mean over its channels. raises: ValueError if it does not decode or is empty."""
    try:
        samples, rate_hz = soundfile.read(
            io.BytesIO(file_bytes("audio", cast(Any, payload))), dtype="float32", always_2d=True
        )
    except soundfile.SoundFileError as error:
        raise ValueError(f"audio: expected a sound file, got {error}; record it again") from error
    if not len(samples):
        raise ValueError("audio: expected samples, got none; record it again")
    return Sound(samples.mean(axis=1), rate_hz)


def read_log(payload: Payload, columns: Sequence[str]) -> Log:
    """The sensor rows that are numbers.

    columns: those the pipeline reads; if empty, the numeric columns that change
    raises: ValueError if fewer than two rows are left
    """
    if isinstance(payload, np.ndarray):
        data = array_bytes(payload)
    else:
        data = file_bytes("sensor", cast(Any, payload))
    log = _read_npy(data, columns) if data.startswith(NPY_MAGIC) else _read_csv(data, columns)
    kept = log.rows[np.isfinite(log.rows).all(axis=1)]
    if len(kept) < 2:
        raise ValueError(
            f"sensor: expected at least two rows of numbers, got {len(kept)}; log the weld again"
        )
    return Log(log.names, kept)


def _read_npy(data: bytes, columns: Sequence[str]) -> Log:
    rows = np.load(io.BytesIO(data), allow_pickle=False).astype(np.float64)
    names = tuple(columns) or tuple(f"channel {index + 1}" for index in range(rows.shape[1]))
    return Log(names, rows)


def _read_csv(data: bytes, columns: Sequence[str]) -> Log:
    table = list(csv.reader(io.StringIO(data.decode("utf-8-sig", errors="replace"))))
    if len(table) < 2:
        raise ValueError("sensor: expected a header and rows, got an empty table; log the weld again")
    names = [name.strip() for name in table[0]]
    cells = np.array(
        [[_number(cell) for cell in (row + [""] * len(names))[: len(names)]] for row in table[1:]]
    )
    if columns:
        chosen = [names.index(name) for name in columns if name in names]
    else:
        chosen = [
            index for index in range(len(names)) if np.nanmax(np.append(_spread(cells[:, index]), 0)) > 0
        ]
    chosen = chosen[-SENSOR_CHANNELS:]
    return Log(tuple(names[index] for index in chosen), cells[:, chosen])


def _spread(column: NDArray[np.float64]) -> NDArray[np.float64]:
    finite = column[np.isfinite(column)]
    return finite - finite.min() if len(finite) else finite


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return np.nan
