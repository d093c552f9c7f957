"""Motion-aware sampling: from every stretch of a video the frame that moved most.

Source of the optical flow: Farneback, Two-Frame Motion Estimation Based on Polynomial Expansion (SCIA 2003).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

# Scale between pyramid levels, levels, averaging window, iterations, neighbourhood and its smoothing, flags.
FARNEBACK = (0.5, 3, 15, 3, 5, 1.2, 0)


def motion_of(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How far the picture moved up to each frame, in pixels.

    frames:  (frames, height, width, 3) RGB or (frames, height, width) grey, uint8
    returns: (frames,): mean length of the dense optical flow from the frame before; the first frame, which
             has none, gets the value of the second; a single frame 0
    ValueError for another layout; ImportError without OpenCV
    """
    try:
        import cv2
    except ImportError as missing:
        raise ImportError(
            "motion-aware sampler: expected OpenCV for the optical flow, found none; "
            "pip install opencv-python-headless, or sample evenly"
        ) from missing
    grey = frames.ndim == 3
    if (
        frames.dtype != np.uint8
        or not (grey or (frames.ndim == 4 and frames.shape[3] == 3))
        or not len(frames)
    ):
        raise ValueError(
            "motion-aware sampler: expected uint8 frames (frames, height, width[, 3]), at least one, got "
            f"{frames.dtype} {frames.shape}"
        )
    pictures = frames if grey else [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    motion = np.zeros(len(frames))
    for index in range(1, len(frames)):
        flow = cv2.calcOpticalFlowFarneback(pictures[index - 1], pictures[index], None, *FARNEBACK)  # type: ignore[call-overload]
        motion[index] = np.hypot(flow[..., 0], flow[..., 1]).mean()
    motion[0] = motion[min(1, len(frames) - 1)]
    return motion


def most_in_each_window(motion: NDArray[np.floating], target: int) -> NDArray[np.int64]:
    """The frame with the most motion in each of `target` windows, the first one on ties.

    motion: (frames,); window i is [floor(i frames / target), floor((i + 1) frames / target))
    returns: (target,) rising; of fewer frames than windows all, frame floor(i frames / target) for window i
    """
    count = len(motion)
    edges = np.arange(target + 1) * count // target
    if count < target:
        return edges[:-1]
    peaks = [start + np.argmax(motion[start:end]) for start, end in pairwise(edges)]
    return np.array(peaks, dtype=np.int64)


class MotionAwareSampler:
    """Keep the frame that moved most of each of `target_frames` equal stretches; nothing is learned.

    It reads decoded pictures, before anything is resized, and is no part of an exported graph.
    """

    def __init__(self, target_frames: int = 8) -> None:
        if target_frames < 1:
            raise ValueError(
                f"motion-aware sampler: expected a number of frames of at least 1, got {target_frames}"
            )
        self.target_frames = target_frames

    def __call__(
        self, frames: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float64]]:
        """Choose `target_frames` of the frames; of fewer frames all, repeated evenly.

        frames:  (frames, height, width, 3) RGB or (frames, height, width) grey, uint8
        returns: chosen frames (target, ...), their indices (target,), not falling, motion (frames,) in pixels
        """
        motion = motion_of(frames)
        indices = most_in_each_window(motion, self.target_frames)
        return frames[indices], indices, motion
