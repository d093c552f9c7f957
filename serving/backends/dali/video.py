"""Evenly spaced moments of a video file through PyAV: only what is needed is converted and resized.

Reads every codec of the FFmpeg inside PyAV, H.264 and MPEG-4 part 2 too, which DALI's CPU decoder refuses.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from .contract import Status
from .fragments import mosaic, scaled_up
from .moments import Chosen, Sampling

log = logging.getLogger(__name__)

# What one upload may cost: a 64 MiB file can announce far more than memory or time allow.
MAX_FRAME_PIXELS = 4096 * 2304
MAX_PACKETS = 36_000  # 20 minutes at 30 frames per second
MAX_DECODED_PIXELS = 1 << 33  # 15 minutes at 640x480 and 30 per second, 2 minutes at 1080p: 25 s of one core
# An estimate from duration and rate is off for cameras of variable rate; a frame count in the header is not.
ESTIMATE_SLACK = 0.05

# Threads for frames smaller than this cost more than they gain: 320x192 in 6 ms with one, in 7 with two.
THREADED_PIXELS = 640 * 360

# One step from YUV to a small picture is 6 times faster than a whole conversion. Without full chroma
# colours are off by up to 15 levels; with it they are nearer to the source than a plain conversion.
SCALING = Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND


class Undecodable(ValueError):
    """A video that gives no frame, or that would cost too much; the text says why."""


@dataclass(frozen=True)
class Clip:
    """What a model takes of one video.

    frames:    (moments * burst, size, size, 3) uint8 RGB
    fragments: (moments, fragments, fragments, 3) uint8 RGB; None where none are taken
    numbers:   (moments,) int32, the number of each moment's first frame, from 0
    times:     (moments,) float32, seconds from the first frame of the video to it
    """

    frames: np.ndarray
    fragments: np.ndarray | None
    numbers: np.ndarray
    times: np.ndarray
    status: Status


class Index(NamedTuple):
    """What the container says of a video, without decoding.

    declared: frames, 0 if it does not say; slack: by how many they may differ from the packets
    pixels:   of a frame
    """

    packets: int
    declared: int
    slack: float
    pixels: int


@dataclass
class Decoded:
    """One walk through a video: frames that decode, whether it broke off, and what was kept.

    squares, times: by number of the frame; mosaics: by moment, of which several may begin with one frame
    to_square, to_rgb: keep their tables from one frame to the next, half the time of a small picture
    """

    decoded: int = 0
    broken: bool = False
    squares: dict[int, np.ndarray] = field(default_factory=dict)
    mosaics: dict[int, np.ndarray] = field(default_factory=dict)
    times: dict[int, float] = field(default_factory=dict)
    to_square: VideoReformatter = field(default_factory=VideoReformatter)
    to_rgb: VideoReformatter = field(default_factory=VideoReformatter)


def read(payload: np.ndarray, sampling: Sampling, threads: int = 1) -> Clip:
    """Decode, pick the frames of evenly spaced moments, stretch each to a square, cut fragments.

    payload: (bytes,) uint8, an AVI, MP4/MOV or Matroska/WebM file
    threads: decoder threads for large frames; 1 when other videos are decoded at the same time
    returns: PARTIAL when the file declares more frames than decode
    raises:  Undecodable
    """
    data = payload.tobytes()
    try:
        packets, declared, slack, pixels = index(data)
        threads = threads if pixels >= THREADED_PIXELS else 1
        chosen = sampling.choose(packets)
        found = _decode(data, chosen, threads)
        if found.decoded != packets:  # hidden frames or lost ones: the spacing was for another count
            # With several threads, how much decodes before an error depends on their number: count with one.
            count = found.decoded if threads == 1 else _decode(data, None, 1).decoded
            chosen = sampling.choose(count)
            found = _decode(data, chosen, 1)
    except (av.FFmpegError, IndexError) as error:
        raise Undecodable(f"video: {error}") from error
    lost = found.broken or found.decoded < declared - slack
    return _assemble(found, chosen, Status.PARTIAL if lost else Status.OK)


def _assemble(found: Decoded, chosen: Chosen, status: Status) -> Clip:
    fragments = [found.mosaics[moment] for moment in range(len(chosen.starts))] if found.mosaics else None
    seconds = [max(found.times[number] - found.times[0], 0.0) for number in chosen.starts]
    return Clip(
        np.stack([found.squares[number] for number in chosen.rows]),
        None if fragments is None else np.stack(fragments),
        chosen.starts.astype(np.int32),
        np.array(seconds, np.float32),
        status,
    )


def index(data: bytes) -> Index:
    """Count without decoding.

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
    return Index(packets, declared, slack, pixels)


def _decode(data: bytes, chosen: Chosen | None, threads: int) -> Decoded:
    """Decode up to the end or the first error, keep what is chosen (None: count); raises without a frame."""
    found, pixels = Decoded(), 0
    wanted = set() if chosen is None else set(chosen.rows.tolist())
    with _open(data) as container:
        codec = container.streams.video[0].codec_context
        codec.thread_count = threads
        codec.thread_type = "AUTO" if threads > 1 else "NONE"
        codec.options = {"max_pixels": str(MAX_FRAME_PIXELS)}  # the size may grow in the middle of a stream
        try:
            for packet in container.demux(container.streams.video[0]):
                for frame in packet.decode():
                    pixels += frame.width * frame.height
                    if pixels > MAX_DECODED_PIXELS:  # the header announced less
                        raise Undecodable(f"video: more than {MAX_DECODED_PIXELS} pixels; too long to decode")
                    if chosen is not None and found.decoded in wanted:
                        _keep(frame, container, chosen, found)
                    found.decoded += 1
        except av.FFmpegError as error:
            if not found.decoded:
                raise
            log.warning("video breaks off after %d frames: %s", found.decoded, error)
            found.broken = True
    if not found.decoded:
        raise Undecodable("video: no frame decodes")
    return found


def _keep(frame: VideoFrame, container: InputContainer, chosen: Chosen, found: Decoded) -> None:
    """Take what is chosen of the frame that was just decoded; nothing of it stays at its full size."""
    number, sampling = found.decoded, chosen.sampling
    found.times[number] = _seconds(frame, number, container)
    found.squares[number] = _square(frame, sampling.size_px, found.to_square)
    moments = np.flatnonzero(chosen.starts == number) if sampling.fragments_px else ()
    if len(moments):
        picture = _whole(frame, found.to_rgb)  # of which, 27 MB of a 4K video, only the patches are kept
        found.mosaics |= {int(at): mosaic(picture, sampling.fragments_px, int(at)) for at in moments}


def _square(frame: VideoFrame, size_px: int, scaler: VideoReformatter) -> np.ndarray:
    return scaler.reformat(frame, size_px, size_px, "rgb24", interpolation=SCALING, threads=1).to_ndarray()


def _whole(frame: VideoFrame, scaler: VideoReformatter) -> np.ndarray:
    """A frame in RGB at its own resolution, enlarged where it has no room for a patch."""
    height, width = scaled_up(frame.height, frame.width)
    if height * width > MAX_FRAME_PIXELS:  # a few pixels high and thousands wide
        raise Undecodable(f"video: {frame.width}x{frame.height} is too narrow to take fragments of")
    picture = scaler.reformat(frame, format="rgb24", interpolation=SCALING, threads=1)
    if (height, width) != (frame.height, frame.width):
        picture = picture.reformat(width, height, interpolation=SCALING, threads=1)
    return picture.to_ndarray()


def _seconds(frame: VideoFrame, number: int, container: InputContainer) -> float:
    """When a frame is shown. AVI has decoding times only, out of order with B-frames: number over rate."""
    if frame.time is not None and container.format.name != "avi":
        return frame.time
    rate = container.streams.video[0].average_rate
    return number / float(rate) if rate else 0.0


def _packets(container: InputContainer) -> Iterator[av.Packet]:
    """Packets up to the end of the file or to where it breaks."""
    packets = container.demux(container.streams.video[0])
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:  # the decoding pass reports it
            return
        if packet is None:
            return
        yield packet


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
    return av.open(io.BytesIO(data), "r", format=kind)
