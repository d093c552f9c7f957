"""What BRISQUE says of clips: the no-reference peer, judged on the same files.

The package `brisque` (its SVM was fitted on the LIVE photographs) rates single pictures, lower is better; a
clip gets the mean of three frames. Source: Mittal, Moorthy, Bovik (IEEE TIP 2012).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

PICTURES = 3  # a clip: its damage is much the same in all its frames, and one takes 0.1 s


def brisque_scores(paths: Sequence[Path], workers: int = 2) -> NDArray[np.float64]:
    """(clips,), higher is worse. ImportError with the remedy where the package is missing."""
    try:
        import brisque  # noqa: F401
    except ImportError as missing:
        raise ImportError(
            "brisque: expected the package, which judges the same clips for the card, found none; run `make "
            "train`, which installs it, or see [brisque] in pyproject.toml"
        ) from missing
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        rated = tqdm(pool.map(_rate, paths, chunksize=8), total=len(paths), desc="BRISQUE", unit="clip")
        return np.array(list(rated), np.float64)


def _rate(path: Path) -> float:
    from brisque import BRISQUE

    judge = BRISQUE(url=False)
    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    chosen = np.linspace(0, len(pictures) - 1, PICTURES + 2).astype(int)[1:-1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own: arrays of one number turned into floats
        return float(np.mean([float(judge.score(pictures[index])) for index in chosen]))
