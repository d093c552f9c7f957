"""The reference decoder of video quality: bytes of one video to the tensors that its models take.

It defines what the serving backend must reproduce, and it is what training reads. PyAV decodes, Pillow
scales. Nothing is random, and a payload that cannot be read gives zeros and a status, never an exception.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from fractions import Fraction

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from numpy.typing import NDArray
from PIL import Image as Pillow
from scipy.stats import qmc

from multimodal.quality_presets import FRAMES, PATCH_PX, Sampling
from training.decoding import Status, spread

Pixels = NDArray[np.uint8]

# Without these the colour of two neighbours is one and rounded down: off by up to 15 levels, which a model
# that judges pixels would learn as if the video had it.
CONVERSION = Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
# How far into its cell of the grid a patch lies, from the top and from the left, for each moment. Fractions:
# rounded, 81 thirds would be 26.
PLACES = [
    [Fraction(place).limit_denominator(27) for place in point]
    for point in qmc.Halton(2, scramble=False).random(FRAMES + 1)[1:]
]
ESTIMATE_SLACK = 0.05  # of a frame count made of duration and rate; cameras of variable rate miss it


@dataclass(frozen=True)
class DecodedClip:
    """The tensors of one video, without a batch dimension.

    frames:    (8 * burst, size, size, 3) uint8 RGB; frame b of moment i is row i * burst + b
    fragments: (8, fragments, fragments, 3) uint8 RGB of the first frame of each moment, None without
    numbers:   (8,) int32, the number of each moment's first frame, from 0
    times:     (8,) float32, seconds from the first frame of the video to it
    """

    frames: Pixels
    fragments: Pixels | None
    numbers: NDArray[np.int32]
    times: NDArray[np.float32]
    status: Status


@dataclass
class _Walk:
    """One pass through a file: how many frames it gave, and what was kept of those asked for.

    squares, times: by number of the frame; mosaics: by moment, of which several may begin with one frame
    """

    count: int = 0
    broken: bool = False
    squares: dict[int, Pixels] = field(default_factory=dict)
    mosaics: dict[int, Pixels] = field(default_factory=dict)
    times: dict[int, float] = field(default_factory=dict)


def decode_clip(payload: bytes, sampling: Sampling) -> DecodedClip:
    """Decode a video file: whole frames as squares, fragments at its own resolution, their numbers and times.

    PARTIAL: fewer frames than the container announces; CORRUPT: no frame at all; ABSENT: no bytes
    """
    if not payload:
        return _nothing(sampling, Status.ABSENT)
    try:
        expected, announced = _counts(payload)
        walk = _walk(payload, expected, sampling)
        if walk.count and walk.count != expected:  # the moments were those of another count
            walk = _walk(payload, walk.count, sampling)
    except (av.FFmpegError, IndexError, ValueError):
        return _nothing(sampling, Status.CORRUPT)
    if not walk.count:
        return _nothing(sampling, Status.CORRUPT)
    starts, rows = moments(walk.count, sampling.burst)
    return DecodedClip(
        np.stack([walk.squares[int(row)] for row in rows]),
        np.stack([walk.mosaics[moment] for moment in range(FRAMES)]) if sampling.fragments_px else None,
        starts.astype(np.int32),
        np.asarray([max(walk.times[int(start)] - walk.times[0], 0.0) for start in starts], np.float32),
        Status.PARTIAL if walk.broken or walk.count < announced else Status.OK,
    )


def moments(count: int, burst: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First frames of the moments (8,) and all frames to take (8 * burst,) of a video of `count` frames.

    The last moment ends with the last frame; where the video is shorter than a burst its last frame repeats.
    """
    starts = spread(FRAMES, max(count - burst + 1, 1))
    rows = np.minimum(starts[:, None] + np.arange(burst), max(count - 1, 0))
    return starts, rows.ravel()


def fragments(picture: Pixels, size_px: int, moment: int) -> Pixels:
    """Mosaic of 32 px patches, one of each cell of a grid over a picture as it is: (size, size, 3).

    Another moment looks elsewhere in the cells: at the next point of the Halton sequence of bases 2 and 3.
    picture: (height, width, 3) RGB; one with a side under 32 px is scaled up first, its aspect kept
    Source: Wu et al., FAST-VQA: Efficient End-to-end Video Quality Assessment with Fragment Sampling (2022)
    """
    picture = _at_least_a_patch(picture)
    grid = size_px // PATCH_PX
    tops, lefts = (
        [int((cell + place) * (side - PATCH_PX + 1) / grid) for cell in range(grid)]
        for side, place in zip(picture.shape[:2], PLACES[moment], strict=True)
    )
    rows = [
        np.concatenate([picture[top : top + PATCH_PX, left : left + PATCH_PX] for left in lefts], axis=1)
        for top in tops
    ]
    return np.concatenate(rows, axis=0)


def _at_least_a_patch(picture: Pixels) -> Pixels:
    height, width = picture.shape[:2]
    shorter = min(height, width)
    if shorter >= PATCH_PX:
        return picture
    wide, high = (int(side * PATCH_PX / shorter + 0.5) for side in (width, height))
    # By FFmpeg, as served: another way to enlarge is smooth in other places, which local contrast shows.
    frame = VideoFrame.from_ndarray(picture, format="rgb24")
    larger = frame.reformat(wide, high, "rgb24", interpolation=CONVERSION, threads=1)
    return np.asarray(larger.to_ndarray(), np.uint8)


def _counts(payload: bytes) -> tuple[int, float]:
    """Frames to expect by the packets, and the fewest that are whole by what the container announces."""
    with _open(payload) as container:
        stream = container.streams.video[0]
        announced = stream.frames - 1.0
        if not stream.frames and container.duration and stream.average_rate:
            estimate = round(container.duration / av.time_base * float(stream.average_rate))
            announced = estimate - max(1.0, ESTIMATE_SLACK * estimate)
        packets = 0
        try:
            for packet in container.demux(stream):
                packets += packet.size > 0
        except av.FFmpegError:
            return packets, announced  # the walk meets the same place and says that it broke off
    return packets, announced


def _walk(payload: bytes, expected: int, sampling: Sampling) -> _Walk:
    """Decode all frames up to the end or the first error; keep those of a video of `expected` frames."""
    starts, rows = moments(expected, sampling.burst)
    wanted = set(rows.tolist())
    walk = _Walk()
    with _open(payload) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1  # errors then hit the same frames, however many cores there are
        try:
            for frame in container.decode(stream):
                if walk.count in wanted:
                    picture = _rgb(frame)
                    square = (sampling.size_px, sampling.size_px)
                    whole = Pillow.fromarray(picture).resize(square, Pillow.Resampling.BILINEAR)
                    walk.squares[walk.count] = np.asarray(whole)
                    walk.times[walk.count] = _seconds(frame, walk.count, container)
                    for moment in np.flatnonzero(starts == walk.count) if sampling.fragments_px else ():
                        cut = fragments(picture, sampling.fragments_px, int(moment))
                        walk.mosaics[int(moment)] = cut
                walk.count += 1
        except av.FFmpegError:
            walk.broken = True
    return walk


def _rgb(frame: VideoFrame) -> Pixels:
    return np.asarray(
        frame.reformat(format="rgb24", interpolation=CONVERSION, threads=1).to_ndarray(), np.uint8
    )


def _seconds(frame: VideoFrame, number: int, container: InputContainer) -> float:
    """When a frame is shown. AVI has decoding times only, out of order with B-frames: number over rate."""
    if frame.time is not None and container.format.name != "avi":
        return float(frame.time)
    rate = container.streams.video[0].average_rate
    return number / float(rate) if rate else 0.0


def _open(payload: bytes) -> InputContainer:
    return av.open(io.BytesIO(payload), "r")


def _nothing(sampling: Sampling, status: Status) -> DecodedClip:
    return DecodedClip(
        np.zeros((FRAMES * sampling.burst, sampling.size_px, sampling.size_px, 3), np.uint8),
        np.zeros((FRAMES, sampling.fragments_px, sampling.fragments_px, 3), np.uint8)
        if sampling.fragments_px
        else None,
        np.zeros(FRAMES, np.int32),
        np.zeros(FRAMES, np.float32),
        status,
    )
