"""An array of pixels as a PNG file, without an imaging library."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._errors import InvalidInput

MAGIC = b"\x89PNG\r\n\x1a\n"
BITS = 8
GREY, RGB = 0, 2  # colour types of a PNG; source: PNG specification, third edition, 11.2.1


def png_bytes(name: str, pixels: NDArray[Any]) -> bytes:
    """Pixels (height, width) grey or (height, width, 3) RGB, uint8, as a file; nothing is lost.

    name: how an error calls it; raises: InvalidInput for another shape or type
    """
    coloured = pixels.ndim == 3 and pixels.shape[2] == 3
    if pixels.dtype != np.uint8 or not (coloured or pixels.ndim == 2) or not pixels.size:
        raise InvalidInput(
            f"{name}: expected uint8 pixels of shape (height, width, 3) or (height, width), got "
            f"{pixels.dtype} of shape {pixels.shape}; convert it, or pass the file"
        )
    height, width = pixels.shape[:2]
    lines = np.zeros((height, 1 + pixels.size // height), np.uint8)  # each begins with its filter: 0, none
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, BITS, RGB if coloured else GREY, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes())), (b"IEND", b""))
    return MAGIC + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
