"""Write a labelled set: every source under every treatment, each file scored against its source.

<root>/manifest.csv     one row per clip, see COLUMNS
<root>/clips/*.mp4|avi|webm
<root>/frames/*.npy     VMAF of every frame, (frames,) float32
"""

from __future__ import annotations

import csv
import multiprocessing
import tempfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from tqdm import tqdm

from training.quality_clips.distortions import Coding, Treatment, treatments
from training.quality_clips.scenes import Film
from training.quality_clips.shipped import fetch
from training.quality_clips.sources import Source, own, packaged, split_of
from training.quality_clips.vmaf import ffmpeg, score

RATE = Fraction(25)
COLUMNS = ("file", "content", "source", "split", "origin", "distortion", "strength", "score")
LOSSLESS = Coding("ffv1", "matroska", {})


@dataclass(frozen=True)
class Amount:
    """How much is made of each source.

    levels: clips of each distortion, over its strengths; mixed: clips with two of them; only: contents to
    restrict the set to, none for all
    """

    levels: int = 3
    mixed: int = 7
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.levels < 0 or self.mixed < 0:
            raise ValueError(
                f"clips: expected at least 0 of each, got {self.levels} levels, {self.mixed} mixed"
            )


@dataclass(frozen=True)
class Job:
    """One source to treat; small enough to send to another process."""

    source: Source
    root: Path
    seed: int
    amount: Amount


def write_film(path: Path, film: Film, coding: Coding) -> Path:
    """Encode (frames, height, width, 3) RGB at 25 frames a second; returns the path."""
    pixel_format = "yuv444p" if coding is LOSSLESS else "yuv420p"
    with av.open(str(path), "w", format=coding.container, options={"fflags": "+bitexact"}) as container:
        stream = cast(av.VideoStream, container.add_stream(coding.encoder, rate=RATE))
        stream.width, stream.height, stream.pix_fmt = film.shape[2], film.shape[1], pixel_format
        stream.codec_context.thread_count = 1  # threads cut pictures into other slices, so into other bytes
        stream.codec_context.options = {"flags": "+bitexact", **coding.options}
        for number, picture in enumerate(film):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame = frame.reformat(format=pixel_format, threads=1)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def treat(job: Job) -> list[dict[str, str]]:
    """Write and score every treatment of one source; its rows of the manifest."""
    source = job.source
    rng = np.random.default_rng([job.seed, zlib.crc32(source.name.encode())])
    film = source.film()
    rows = []
    with tempfile.TemporaryDirectory(prefix="source-") as folder:
        reference = write_film(Path(folder) / "reference.mkv", film, LOSSLESS)
        for number, treatment in enumerate(treatments(rng, job.amount.levels, job.amount.mixed)):
            rows.append(_treat_one(job, film, reference, treatment, number, rng))
    return rows


def _treat_one(
    job: Job, film: Film, reference: Path, treatment: Treatment, number: int, rng: np.random.Generator
) -> dict[str, str]:
    source, coding = job.source, treatment.coding
    ending = {"matroska": "mkv"}.get(coding.container, coding.container)
    name = f"{source.name}-{number:02d}-{treatment.kind.replace(' ', '_').replace('.', '')}"
    path = write_film(job.root / "clips" / f"{name}.{ending}", treatment.alter(film, rng), coding)
    scored = score(path, reference)
    np.save(job.root / "frames" / f"{name}.npy", scored.frames)
    values = (
        f"clips/{path.name}",
        source.content,
        source.name,
        split_of(source.content),
        source.origin,
        treatment.kind,
        f"{treatment.strength:.3f}",
        f"{scored.clip:.4f}",
    )
    return dict(zip(COLUMNS, values, strict=True))


def generate(
    root: Path,
    seed: int = 0,
    sources: Path | None = None,
    amount: Amount | None = None,
    workers: int = 2,
) -> Path:
    """Write the set under `root`, the manifest last; returns `root`. A second call goes on where one ended.

    sources: a folder of good films, beside the built-in sources
    raises: ValueError for an unknown content, FileNotFoundError and ImportError with what is missing
    """
    ffmpeg()  # before an hour of encoding
    chosen = packaged() + (own(sources) if sources else [])
    amount = amount or Amount()
    known = sorted({source.content for source in chosen})
    if unknown := sorted(set(amount.only) - set(known)):
        raise ValueError(f"contents: expected some of {', '.join(known)}, got {', '.join(unknown)}")
    jobs = [
        Job(source, root, seed, amount)
        for source in chosen
        if not amount.only or source.content in amount.only
    ]
    fetch(job.source.file for job in jobs if job.source.file)
    for folder in ("clips", "frames", "rows"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    waiting = [job for job in jobs if not _rows_file(job).is_file()]
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(workers, mp_context=context) as pool,
        tqdm(total=len(jobs), initial=len(jobs) - len(waiting), desc="clips", unit="source") as bar,
    ):
        running = {pool.submit(treat, job): job for job in waiting}
        for done in as_completed(running):
            _write_rows(_rows_file(running[done]), done.result())
            bar.update()
    rows = [row for job in jobs for row in _read_rows(_rows_file(job))]
    _write_rows(root / "manifest.csv", rows)
    return root


def _rows_file(job: Job) -> Path:
    return job.root / "rows" / f"{job.source.name}.csv"


def _read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def _write_rows(path: Path, rows: Sequence[dict[str, str]]) -> None:
    """Whole or not at all: an interrupted call must not leave half a manifest."""
    draft = path.with_suffix(".part")
    with draft.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    draft.replace(path)
