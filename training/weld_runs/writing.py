"""Write runs and whole roots of runs to disk."""

from __future__ import annotations

import csv
import datetime
import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from multimodal.weld_classes import CLASS_NAMES, MODALITIES
from training.weld_runs.arc_sound import SAMPLE_RATE_HZ, arc_sound
from training.weld_runs.camera import FRAME_RATE, film_weld
from training.weld_runs.photos import photograph_bead
from training.weld_runs.sensor_log import sensor_log, write_sensor_log
from training.weld_runs.session import draw_session
from training.weld_runs.signatures import draw_evidence

FRAME_SIZE = (320, 192)  # width, height of the video files
FRAMES = (60, 91)  # 4-6 s at 15 frames a second
MANIFEST_COLUMNS = (
    "CATEGORY",
    "WELD_TYPE",
    "THICKNESS_MM",
    "STEEL_TYPE",
    "SAMPLES",
    "CURRENT_A",
    "VOLTAGE_V",
    "GAS_BAR",
    "ROBOT_SPEED_CPM",
    "DIRECTORY",
    "SUBDIRS",
    "SPLIT",
)


@dataclass(frozen=True)
class _Job:
    """One run to write: where, of which class, from which seeds."""

    folder: Path
    class_index: int
    seed: int
    session_seed: int


def write_video(path: Path, film: NDArray[np.uint8], codec: str = "mpeg4") -> None:
    """Encode grey pictures (frames, height, width) as AVI of FRAME_SIZE.

    codec: "mpeg4" (MPEG-4 part 2 tagged FMP4, as the public recordings are) or "mjpeg"
    """
    if codec not in ("mpeg4", "mjpeg"):
        raise ValueError(f"video codec: expected 'mpeg4' or 'mjpeg', got {codec!r}")
    with av.open(str(path), "w", format="avi", options={"fflags": "+bitexact"}) as container:
        stream = cast(av.VideoStream, container.add_stream(codec, rate=Fraction(FRAME_RATE)))
        stream.width, stream.height = FRAME_SIZE
        stream.pix_fmt = "yuv420p" if codec == "mpeg4" else "yuvj420p"
        context = stream.codec_context
        context.thread_count = 1  # threads would cut the pictures into other slices and so into other bytes
        context.options = {
            "flags": "+bitexact",
            "qmin": "6",
            "qmax": "6",
        }  # constant quality, about 70 kB a run
        if codec == "mpeg4":
            context.codec_tag = "FMP4"
        for picture in film:
            frame = av.VideoFrame.from_ndarray(picture, format="gray")
            frame = frame.reformat(*FRAME_SIZE, format=stream.pix_fmt, interpolation="BILINEAR", threads=1)
            frame.pts = None
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _write(job: _Job) -> Path:
    """Write all files of one run; each modality draws from its own stream of random numbers."""
    session = draw_session(np.random.default_rng([job.session_seed, 1]))
    rngs = {name: np.random.default_rng([job.seed, 2, index]) for index, name in enumerate(MODALITIES)}
    evidence = {name: draw_evidence(job.class_index, name, rng) for name, rng in rngs.items()}
    name = job.folder.name
    (job.folder / "images").mkdir(parents=True, exist_ok=True)
    frames = int(rngs["video"].integers(*FRAMES))
    write_video(job.folder / f"{name}.avi", film_weld(session, evidence["video"], frames, rngs["video"]))
    sound = arc_sound(session, evidence["audio"], frames / FRAME_RATE, rngs["audio"])
    soundfile.write(job.folder / f"{name}.flac", sound, SAMPLE_RATE_HZ, subtype="PCM_16", format="FLAC")
    begin = _session_day(job.session_seed) + datetime.timedelta(minutes=6 * (job.seed % 90))
    write_sensor_log(
        job.folder / f"{name}.csv", sensor_log(session, evidence["sensor"], rngs["sensor"]), begin
    )
    for index, photo in enumerate(photograph_bead(session, evidence["image"], rngs["image"]), start=1):
        Image.fromarray(photo).save(job.folder / "images" / f"{name}_{index}.jpg", quality=80)
    return job.folder


def write_run(folder: Path, class_index: int, seed: int, session_seed: int | None = None) -> None:
    """Write one run into `folder`, whose name becomes the stem of its files.

    seed: everything random about the run; session_seed: what it shares with its session (default: `seed`)
    raises ValueError where there is no such class
    """
    if not 0 <= class_index < len(CLASS_NAMES):
        raise ValueError(f"class index: expected 0 to {len(CLASS_NAMES) - 1}, got {class_index}")
    _write(_Job(folder, class_index, seed, seed if session_seed is None else session_seed))


def _session_day(session_seed: int) -> datetime.datetime:
    return datetime.datetime(2023, 1, 9, 8) + datetime.timedelta(days=session_seed % 700)


def _counts(runs_per_class: int | Mapping[int, int]) -> list[int]:
    if isinstance(runs_per_class, int):
        counts = [runs_per_class] * len(CLASS_NAMES)
    else:
        unknown = sorted(set(runs_per_class) - set(range(len(CLASS_NAMES))))
        if unknown:
            raise ValueError(
                f"runs per class: expected class indices 0 to {len(CLASS_NAMES) - 1}, got {unknown}"
            )
        counts = [runs_per_class.get(index, 0) for index in range(len(CLASS_NAMES))]
    if min(counts) < 0 or not any(counts):
        raise ValueError(
            f"runs per class: expected at least one run in all and none negative, got {runs_per_class}"
        )
    return counts


def _plan(root: Path, counts: list[int], seed: int) -> list[_Job]:
    """One run of each class per session, in random order, until every class has its number of runs."""
    jobs = []
    for session in range(max(counts)):
        rng = np.random.default_rng([seed, 0, session])
        session_seed = seed * 1_000_003 + session
        day = _session_day(session_seed).strftime("%m-%d-%y")
        classes = [index for index, count in enumerate(counts) if session < count]
        for number, class_index in enumerate(rng.permutation(classes), start=1):
            folder = root / f"{day}_{session:04d}" / f"{day}-{session * 12 + number:04d}-{class_index:02d}"
            jobs.append(_Job(folder, int(class_index), int(rng.integers(2**62)), session_seed))
    return jobs


def _manifest_row(job: _Job, root: Path) -> list[str]:
    session = draw_session(np.random.default_rng([job.session_seed, 1]))
    place = job.session_seed * 7 % 20  # 14 of 20 sessions train, 3 validate, 3 test
    split = "TRAIN" if place < 14 else "VAL" if place < 17 else "TEST"
    return [
        CLASS_NAMES[job.class_index],
        session.weld_type,
        str(session.thickness_mm),
        session.steel,
        "1",
        f"{session.current_a:.0f}",
        f"{session.voltage_v:.1f}",
        f"{session.pressure_bar:.2f}",
        str(session.speed_cpm),
        job.folder.parent.name,
        job.folder.relative_to(root).as_posix(),
        split,
    ]


def _write_manifest(root: Path, jobs: list[_Job]) -> None:
    with (root / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(MANIFEST_COLUMNS)
        rows.writerows(_manifest_row(job, root) for job in jobs)


def generate(
    root: Path,
    runs_per_class: int | Mapping[int, int],
    seed: int = 0,
    workers: int = 2,
    progress: bool = True,
) -> Path:
    """Write a root of simulated runs: sessions of up to twelve runs, one per class; last, `manifest.csv`.

    runs_per_class: the same number for all twelve classes, or class index -> number
    returns the root; raises FileExistsError where the root already has a manifest
    """
    if (root / "manifest.csv").exists():
        raise FileExistsError(
            f"{root}: expected a new or empty folder, found manifest.csv; choose another folder"
        )
    jobs = _plan(root, _counts(runs_per_class), seed)
    root.mkdir(parents=True, exist_ok=True)
    bar = tqdm(total=len(jobs), desc="weld runs", unit="run", disable=not progress)
    with bar:
        if workers <= 1:
            for job in jobs:
                _write(job)
                bar.update()
        else:
            # spawn: the caller may have started torch's threads, which a fork would break
            with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
                for _ in pool.map(_write, jobs, chunksize=4):
                    bar.update()
    _write_manifest(root, jobs)
    return root
