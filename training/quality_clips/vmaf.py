"""VMAF through the FFmpeg that the package `imageio-ffmpeg` brings: a full-reference score, 0 to 100.

Source: Li et al., "Toward a practical perceptual video quality metric" (Netflix 2016); model v0.6.1, made
for 1080p on a television: below that its numbers order clips, they are no opinion scores. The binary is GPL:
it is run as a tool and never shipped.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Score:
    """VMAF of a clip and of each of its frames, (frames,)."""

    clip: float
    frames: NDArray[np.float32]


def ffmpeg() -> str:
    """The program; ImportError with the remedy where its package is missing."""
    try:
        import imageio_ffmpeg
    except ImportError as missing:
        raise ImportError(
            "vmaf: expected the package imageio-ffmpeg, found none; run `make setup`, or pip install it"
        ) from missing
    return imageio_ffmpeg.get_ffmpeg_exe()


def score(distorted: Path, reference: Path) -> Score:
    """Compare two files of the same size and number of frames, frame by frame.

    Frames are paired by their number, not by their time: containers round times differently (Matroska to
    1 ms), and libvmaf would compare neighbours, which costs 10 to 20 points without a word.
    raises: RuntimeError when FFmpeg fails or compared no frame
    """
    pair = "[0:v]settb=1/25,setpts=N[a];[1:v]settb=1/25,setpts=N[b];[a][b]libvmaf=n_threads=1:log_fmt=json"
    with tempfile.TemporaryDirectory(prefix="vmaf-") as folder:
        log = Path(folder) / "log.json"
        command = [ffmpeg(), "-hide_banner", "-loglevel", "error", "-threads", "1", "-i", str(distorted)]
        command += [
            "-threads",
            "1",
            "-i",
            str(reference),
            "-lavfi",
            f"{pair}:log_path={log}",
            "-f",
            "null",
            "-",
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode or not log.is_file():
            cause = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise RuntimeError(f"vmaf: expected a score of {distorted.name}, FFmpeg failed: {cause}")
        report = json.loads(log.read_text())
    frames = np.array([frame["metrics"]["vmaf"] for frame in report["frames"]], np.float32)
    if not len(frames):
        raise RuntimeError(f"vmaf: expected frames in {distorted.name} and {reference.name}, compared none")
    return Score(float(report["pooled_metrics"]["vmaf"]["mean"]), frames)
