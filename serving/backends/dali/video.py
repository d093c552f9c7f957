"""Evenly spaced frames of a video file through PyAV: only what is needed is converted and resized.

Reads every codec of the FFmpeg inside PyAV, H.264 and MPEG-4 part 2 too, which DALI's CPU decoder refuses.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame

from .contract import Status, evenly

log = logging.getLogger(__name__)

# What one upload may cost: a 64 MiB file can announce far more than memory or time allow.
MAX_FRAME_PIXELS = 4096 * 2304
MAX_PACKETS = 36_000  # 20 minutes at 30 frames per second
MAX_DECODED_PIXELS = 1 << 34  # 20 minutes at 640x480 and 30 per second, 4.5 minutes at 1080p
# An estimate from duration and rate is off for cameras of variable rate; a frame count in the header is not.
ESTIMATE_SLACK = 0.05


class Undecodable(ValueError):
    """A video that gives no frame, or that would cost too much; the text says why."""


def read(payload: np.ndarray, frames: int, size_px: int, threads: int = 1) -> tuple[np.ndarray, Status]:
    """Decode, pick `frames` evenly spaced frames, stretch each to a square.

    payload: (bytes,) uint8, an AVI, MP4/MOV or Matroska/WebM file
    threads: decoder threads; 1 when other videos are decoded at the same time
    returns: (frames, size_px, size_px, 3) uint8 RGB; PARTIAL when the file declares more frames
    raises:  Undecodable
    """
    data = payload.tobytes()
    try:
        packets, declared, slack = index(data)
        picked, decoded = _decode(data, evenly(packets, frames), size_px, threads)
        if decoded not in (
            0,
            packets,
        ):  # packets without a frame, or lost ones: the spacing was for another count
            picked, decoded = _decode(data, evenly(decoded, frames), size_px, threads)
    except (av.FFmpegError, IndexError) as error:
        raise Undecodable(f"video: {error}") from error
    if decoded == 0 or len(picked) < len(set(evenly(decoded, frames))):
        raise Undecodable("video: no frame decodes")
    pixels = np.stack([picked[number] for number in evenly(decoded, frames)])
    return pixels, Status.PARTIAL if decoded < declared - slack else Status.OK


def index(data: bytes) -> tuple[int, int, float]:
    """Count without decoding: (packets, frames that the container declares or 0, tolerated difference).

    raises: Undecodable past the limits of this module or without a packet
    """
    with _open(data) as container:
        stream = container.streams.video[0]
        pixels = stream.codec_context.width * stream.codec_context.height
        if not 0 < pixels <= MAX_FRAME_PIXELS:
            raise Undecodable(f"video: frames of {pixels} pixels, at most {MAX_FRAME_PIXELS} are decoded")
        declared, slack = stream.frames, 1.0
        if not declared and container.duration and stream.average_rate:
            declared = round(container.duration / av.time_base * float(stream.average_rate))
            slack = max(1.0, ESTIMATE_SLACK * declared)
        packets = 0
        for packet in _packets(container):
            packets += packet.size > 0
            if packets > MAX_PACKETS or packets * pixels > MAX_DECODED_PIXELS:
                raise Undecodable(
                    f"video: more than {packets - 1} frames of {pixels} pixels; too long to decode"
                )
    if packets == 0:
        raise Undecodable("video: no frames in the container")
    return packets, declared, slack


def _decode(data: bytes, wanted: np.ndarray, size_px: int, threads: int) -> tuple[dict[int, np.ndarray], int]:
    """Decode everything, convert the frames numbered in `wanted`: ({number: pixels}, decoded frames)."""
    keep = set(wanted.tolist())
    picked: dict[int, np.ndarray] = {}
    decoded = 0
    with _open(data) as container:
        codec = container.streams.video[0].codec_context
        codec.thread_count = threads
        codec.thread_type = "AUTO" if threads > 1 else "NONE"
        codec.options = {"max_pixels": str(MAX_FRAME_PIXELS)}  # the size may grow in the middle of a stream
        for frame in _frames(container):
            if decoded in keep:
                scaled = frame.reformat(size_px, size_px, "rgb24", interpolation="BILINEAR", threads=threads)
                picked[decoded] = scaled.to_ndarray()
            decoded += 1
    return picked, decoded


def _packets(container: InputContainer) -> Iterator[av.Packet]:
    """Packets up to the end of the file or to where it breaks."""
    packets = container.demux(container.streams.video[0])
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            log.warning("video breaks off: %s", error)
            return
        if packet is None:
            return
        yield packet


def _frames(container: InputContainer) -> Iterator[VideoFrame]:
    """Every frame that decodes; an error before the first one is raised, later ones cost their packet."""
    started = False
    for packet in _packets(container):
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            if not started:
                raise
            log.warning("video loses a packet: %s", error)
            continue
        started = started or bool(frames)
        yield from frames


def _open(data: bytes) -> InputContainer:
    """Open as the container that the magic names: probing could end in a playlist that reads other files."""
    if data[:4] == b"RIFF":
        kind = "avi"
    elif data[4:8] == b"ftyp":
        kind = "mov"
    elif data[:4] == b"\x1a\x45\xdf\xa3":
        kind = "matroska"
    else:
        raise Undecodable("video: neither AVI nor MP4 nor Matroska")
    return av.open(io.BytesIO(data), format=kind)
