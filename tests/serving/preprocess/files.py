"""Small real files of every kind that the pipeline reads, made on the spot."""

import io
from fractions import Fraction

import av
import numpy as np
import soundfile
from PIL import Image

from multimodal.weld_classes import SENSOR_COLUMNS

CONTAINER_OF_SUFFIX = {"avi": "avi", "mp4": "mp4", "mkv": "matroska", "webm": "webm"}


def picture(width: int = 160, height: int = 120, seed: int = 0) -> Image.Image:
    """Smooth blobs of colour: resizers agree on them, and no two seeds look alike."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def photo(
    kind: str = "JPEG", mode: str = "RGB", seed: int = 0, size: tuple[int, int] = (160, 120), **options
) -> bytes:
    stream = io.BytesIO()
    picture(*size, seed=seed).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


def frame(number: int, width: int, height: int) -> np.ndarray:
    """A grey level that says which frame it is: 10 * number."""
    return np.full((height, width, 3), 10 * number, np.uint8)


def video(
    codec: str = "libx264",
    suffix: str = "mp4",
    frames: int = 20,
    size: tuple[int, int] = (64, 48),
    images=None,
) -> bytes:
    stream = io.BytesIO()
    images = images or [frame(number, *size) for number in range(frames)]
    with av.open(stream, "w", format=CONTAINER_OF_SUFFIX[suffix]) as container:
        track = container.add_stream(codec, rate=Fraction(10))
        track.width, track.height = size
        track.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        track.codec_context.thread_count = 1
        for image in images:
            container.mux(track.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(track.encode())
    return stream.getvalue()


def sine(rate_hz: int = 16_000, seconds: float = 1.0, channels: int = 1) -> np.ndarray:
    """440 Hz at half scale, (n, channels)."""
    time_s = np.arange(round(rate_hz * seconds)) / rate_hz
    return np.repeat(0.5 * np.sin(2 * np.pi * 440 * time_s)[:, None], channels, axis=1)


def recording(
    kind: str = "FLAC", waveform: np.ndarray | None = None, rate_hz: int = 16_000, **options
) -> bytes:
    stream = io.BytesIO()
    waveform = sine(rate_hz) if waveform is None else waveform
    soundfile.write(stream, waveform, rate_hz, format=kind, **options)
    return stream.getvalue()


def rows(count: int = 50, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 20, (count, len(SENSOR_COLUMNS))).round(3)


def csv_log(values: np.ndarray | None = None, columns=SENSOR_COLUMNS) -> bytes:
    values = rows() if values is None else values
    lines = [",".join(columns), *(",".join(map(str, row)) for row in values)]
    return ("\n".join(lines) + "\n").encode()


def npy_log(values: np.ndarray | None = None) -> bytes:
    stream = io.BytesIO()
    np.save(stream, rows() if values is None else values)
    return stream.getvalue()


def payloads(video=b"", images=(), audio=b"", sensor=b"") -> dict[str, np.ndarray]:
    """One request's tensors without batch."""
    files = {"video": video, "image": b"".join(images), "audio": audio, "sensor": sensor}
    tensors = {name: np.frombuffer(data, np.uint8) for name, data in files.items()}
    return tensors | {"image_sizes": np.array([len(image) for image in images], np.int64)}
