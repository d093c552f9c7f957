"""What a recording needs beside DALI's decoder: is the file whole, and which part of a long one is heard."""

from __future__ import annotations

import numpy as np

from .contract import evenly

EXCERPTS = 4
_UNKNOWN_BYTES = 0x7FFF0000  # encoders that write to a pipe leave a data length of 2 GiB or 4 GiB
_MOST_CHUNKS = 4096
_OGG_TAIL = 1 << 17  # a page has at most 65,307 bytes
_OGG_LAST_PAGE = 0x04


def is_cut_off(data: bytes) -> bool:
    """Whether a WAV or Ogg ends before its own end mark: their decoders would play the rest without a word.

    A FLAC needs no look: its decoder fails.
    """
    if data[:4] == b"OggS":
        last = data.rfind(b"OggS", max(0, len(data) - _OGG_TAIL))
        return (
            len(data) < last + 27 or not data[last + 5] & _OGG_LAST_PAGE or len(data) < _page_end(data, last)
        )
    if data[:4] != b"RIFF":
        return False
    at = 12
    for _ in range(_MOST_CHUNKS):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"data":
            return size < _UNKNOWN_BYTES and at + 8 + size > len(data)
        at += 8 + size + size % 2
        if at + 8 > len(data):
            break
    return True  # no samples at all


def _page_end(data: bytes, start: int) -> int:
    segments = data[start + 26]
    return start + 27 + segments + sum(data[start + 27 : start + 27 + segments])


def window(waveform: np.ndarray, samples: int) -> tuple[np.ndarray, int]:
    """Fit a recording into `samples`: (n,) -> (samples,) float32 in [-1, 1], and how many of them are real.

    A longer one becomes four evenly spaced excerpts, so that it is heard from start to end; a shorter one is
    followed by zeros.
    """
    out = np.zeros(samples, np.float32)
    if waveform.size > samples:
        part = samples // EXCERPTS
        starts = evenly(waveform.size - part + 1, EXCERPTS)
        waveform = np.concatenate([waveform[start : start + part] for start in starts])
    out[: waveform.size] = np.clip(waveform, -1.0, 1.0)  # a resampler overshoots
    return out, waveform.size
