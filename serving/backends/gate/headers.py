"""What a file's first bytes announce, read without decoding anything.

Every function takes the bytes of one file and returns None where the header is cut off or makes no claim: a
decoder decides about those. Sources: JPEG ITU-T T.81 annex B, PNG RFC 2083, WebP RFC 9649, RIFF/WAVE and AVI
(Microsoft multimedia registry), FLAC RFC 9639, Ogg RFC 3533.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

VIDEO_MAGIC = "RIFF AVI, MP4/MOV (ftyp) or Matroska/WebM (EBML)"
IMAGE_MAGIC = "JPEG, PNG or WebP"
AUDIO_MAGIC = "FLAC, RIFF WAVE or Ogg"

_MOST_CHUNKS = 4096  # before the pixels or samples: a hostile file could have millions
_JPEG_MARKER = re.compile(
    rb"\xff([\x02-\xcf\xd9-\xfe])"
)  # those with a length; padding and garbage are skipped
_JPEG_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # start of frame; the three others are tables
_UNKNOWN_BYTES = 0x7FFF0000  # encoders that write to a pipe leave a data length of 2 GiB or 4 GiB
_OGG_TAIL = 1 << 17  # a page has at most 65,307 bytes


@dataclass(frozen=True)
class AudioHeader:
    """Announced by an audio file; `samples` (per channel) is None where the header leaves it open."""

    rate_hz: int
    channels: int
    samples: int | None


def video_container(data: bytes) -> str | None:
    """The FFmpeg name of the container, or None."""
    if data[:4] == b"RIFF" and data[8:12] == b"AVI ":
        return "avi"
    if data[4:8] == b"ftyp":
        return "mov"
    return "matroska" if data[:4] == b"\x1a\x45\xdf\xa3" else None


def image_kind(data: bytes) -> str | None:
    """`jpeg`, `png`, `webp` or None."""
    if data[:3] == b"\xff\xd8\xff":
        return "jpeg"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "png"
    return "webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def audio_kind(data: bytes) -> str | None:
    """`flac`, `wav`, `ogg` or None."""
    if data[:4] == b"fLaC":
        return "flac"
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "wav"
    return "ogg" if data[:4] == b"OggS" else None


def image_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) in pixels that a JPEG, PNG or WebP announces."""
    readers = {"jpeg": _jpeg_size, "png": _png_size, "webp": _webp_size}
    kind = image_kind(data)
    return readers[kind](data) if kind else None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """The largest frame before the first scan: a second one may be there to hide behind the first."""
    found: list[tuple[int, int]] = []
    at = 2
    for _ in range(_MOST_CHUNKS):
        marker = _JPEG_MARKER.search(data, at)
        if (
            marker is None or marker.end() + 7 > len(data) or marker[1] == b"\xda"
        ):  # a scan: what follows is pixels
            return max(found, key=lambda size: size[0] * size[1], default=None)
        if marker[1][0] in _JPEG_SIZES:
            height, width = struct.unpack_from(">HH", data, marker.end() + 3)
            found.append((width, height))
        at = marker.end() + struct.unpack_from(">H", data, marker.end())[0]
    return 0, 0  # no camera writes that many segments: refused like an empty photo


def _png_size(data: bytes) -> tuple[int, int] | None:
    if len(data) < 24 or data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _webp_size(data: bytes) -> tuple[int, int] | None:
    if len(data) < 30:
        return None
    chunk = data[12:16]
    if chunk == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if chunk == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def avi_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of an AVI's main header; None for any other container."""
    at = data.find(b"avih", 0, 4096)
    if video_container(data) != "avi" or at < 0 or len(data) < at + 48:
        return None
    width, height = struct.unpack_from("<II", data, at + 40)
    return width, height


def audio_header(data: bytes) -> AudioHeader | None:
    """Rate, channels and length that a FLAC, WAV or Ogg announces."""
    readers = {"flac": _flac_header, "wav": _wav_header, "ogg": _ogg_header}
    kind = audio_kind(data)
    return readers[kind](data) if kind else None


def _flac_header(data: bytes) -> AudioHeader | None:
    if len(data) < 26 or data[4] & 0x7F != 0:
        return None
    bits = int.from_bytes(data[18:26], "big")  # 20 rate, 3 channels - 1, 5 depth - 1, 36 samples
    return AudioHeader(bits >> 44, (bits >> 41 & 0x7) + 1, bits & (1 << 36) - 1)


def _wav_header(data: bytes) -> AudioHeader | None:
    rate = channels = block = 0
    at = 12
    for _ in range(_MOST_CHUNKS):
        if at + 8 > len(data):
            break
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name == b"fmt " and at + 24 <= len(data):
            channels, rate, _, block = struct.unpack_from("<HIIH", data, at + 10)
        if name == b"data":
            return _wav_length(rate, channels, block, size, len(data) - at - 8) if block else None
        at += 8 + size + size % 2
    return AudioHeader(rate, channels, 0) if block else None


def _wav_length(rate: int, channels: int, block: int, announced: int, there: int) -> AudioHeader:
    return AudioHeader(rate, channels, (there if announced >= _UNKNOWN_BYTES else announced) // block)


def _ogg_header(data: bytes) -> AudioHeader | None:
    """Vorbis and Opus; the length is the granule position of the last page."""
    packet = data[27 + data[26] :][:32] if len(data) > 28 else b""
    if packet[:7] == b"\x01vorbis" and len(packet) >= 16:
        channels, rate = packet[11], int.from_bytes(packet[12:16], "little")
    elif packet[:8] == b"OpusHead" and len(packet) >= 16:
        channels, rate = packet[9], 48_000  # Opus always plays at 48 kHz
    else:
        return None
    last = data.rfind(b"OggS", max(0, len(data) - _OGG_TAIL))
    granule = int.from_bytes(data[last + 6 : last + 14], "little", signed=True) if last > 0 else -1
    return AudioHeader(rate, channels, granule if granule >= 0 else None)
