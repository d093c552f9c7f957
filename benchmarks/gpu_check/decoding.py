"""Part `decoding`: our DALI pipelines on the GPU beside the CPU: the same pixels, and how many a second.

Photos: nvJPEG against DALI's CPU decoder. Videos: NVDEC against PyAV, which reads H.264 on the CPU where DALI
does not. Recordings are decoded on the CPU either way: their row is what a GPU has to wait for.
"""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.gpu_check import installed
from benchmarks.gpu_check.clock import first_line
from benchmarks.gpu_check.findings import Finding, Plan, Row, Skip

COLUMNS = ("kind", "device", "batch", "latency_ms", "items_per_s", "mean_abs", "max_abs", "ok")
ROOT = Path(__file__).parents[2]
PIPELINES = ROOT / "model_repository/weld_base_preprocess/1/dali.py"
PHOTO_PX, VIDEO_PX, FRAMES, RATE_HZ = 224, 256, 16, 16_000  # of weld_base_preprocess/config.pbtxt
BATCH, QUICK_REPEATS, REPEATS = 8, 3, 20
# Mean difference in levels of 255 that another decoder may bring: rounding of the inverse DCT and of the
# colour conversion, and for videos another resizer. Chosen, not measured: no GPU has decoded these files yet.
MEAN_LEVELS = {"photo": 2.0, "video": 4.0}

Feeds = Mapping[str, Sequence[np.ndarray]]


@dataclass(frozen=True)
class Payloads:
    """Files of simulated welds, (bytes,) uint8 each."""

    photos: list[np.ndarray]
    recordings: list[np.ndarray]
    videos: list[np.ndarray]


def run(plan: Plan, earlier: Mapping[str, Finding]) -> Finding:
    """A row per kind of file and device."""
    found = Finding()
    torch = installed.torch_on_gpu()
    installed.module("nvidia.dali")
    files = payloads(plan.work, plan.seed)
    code = importlib.import_module("serving.backends.dali.serialised").pipelines_of(PIPELINES)
    repeats = QUICK_REPEATS if plan.quick else REPEATS
    for kind, check in (("photo", _photos), ("recording", _recordings), ("video", _videos)):
        try:
            rows = check(code, files, lambda run: timed(run, repeats, torch.cuda.synchronize))
        except Exception as error:  # DALI raises RuntimeError for a codec, a driver or a library it lacks
            found.skipped.append(f"{kind}: {first_line(error)}")
            continue
        found.rows += rows
        found.faults += [
            f"{kind} on the {row['device']}: mean difference {row['mean_abs']:.2f} levels, at most "
            f"{MEAN_LEVELS[kind]} expected"
            for row in rows
            if row.get("ok") is False
        ]
        plan.say(
            f"decoding {kind}s: " + ", ".join(f"{row['device']} {row['items_per_s']:.0f}/s" for row in rows)
        )
    return found


def payloads(work: Path, seed: int) -> Payloads:
    """The files of twelve simulated welds, made once; Skip where a package that writes them is missing."""
    try:
        from training.weld_folder import find_runs
        from training.weld_runs import generate
    except ImportError as error:
        raise Skip(f"no files to decode: {error}; install the extra `training`") from error
    root = work / f"welds-{seed}"
    if not (root / "manifest.csv").exists():
        generate(root, 1, seed)
    runs = find_runs(root)
    return Payloads(
        [_bytes(photo) for run in runs for photo in run.photos],
        [_bytes(run.audio) for run in runs if run.audio],
        [_bytes(run.video) for run in runs if run.video],
    )


def _bytes(path: Path) -> np.ndarray:
    return np.frombuffer(path.read_bytes(), np.uint8)


def timed(run: Callable[[], Any], repeats: int, wait: Callable[[], Any]) -> float:
    """Median milliseconds of `run` until the GPU is done, after two runs that do not count."""
    milliseconds = []
    for number in range(repeats + 2):
        started = time.perf_counter()
        run()
        wait()
        if number >= 2:
            milliseconds.append((time.perf_counter() - started) * 1e3)
    return statistics.median(milliseconds)


Clock = Callable[[Callable[[], Any]], float]


def _photos(code: ModuleType, files: Payloads, clock: Clock) -> list[Row]:
    feeds = {"image": files.photos[:BATCH]}
    cpu = _built(code.photos(PHOTO_PX, "cpu", batch_size=BATCH, num_threads=2, device_id=None))
    gpu = _built(code.photos(PHOTO_PX, "gpu", batch_size=BATCH, num_threads=2, device_id=0))
    expected, found = _decoded(cpu, feeds), _decoded(gpu, feeds)
    address_ms = clock(lambda: by_address(gpu, feeds))
    received = by_address(gpu, feeds)
    return [
        _row("photo", "cpu", clock(lambda: cpu.run(**feeds)), len(expected)),
        _row("photo", "gpu", clock(lambda: gpu.run(**feeds)), len(expected))
        | compared("photo", expected, found),
        _row("photo", "gpu, by address", address_ms, len(expected)) | compared("photo", found, received),
    ]


def by_address(pipeline: Any, feeds: Feeds) -> list[np.ndarray]:
    """What the backend hands to Triton where it lies, read as another library would; or RuntimeError."""
    import torch

    isolation = importlib.import_module("serving.backends.dali.isolation")
    (name,) = feeds
    rows = isolation.IsolatedPipeline(pipeline).in_place([{name: one} for one in feeds[name]])
    if rows is None:
        raise RuntimeError("expected one block of decoded rows, got none")
    return [torch.from_dlpack(rows.part(place, 1)).cpu().numpy()[0] for place in range(len(feeds[name]))]


def _recordings(code: ModuleType, files: Payloads, clock: Clock) -> list[Row]:
    feeds = {"audio": files.recordings[:BATCH]}
    cpu = _built(code.recordings(RATE_HZ, batch_size=BATCH, num_threads=2, device_id=None))
    return [_row("recording", "cpu", clock(lambda: cpu.run(**feeds)), len(feeds["audio"]))]


def _videos(code: ModuleType, files: Payloads, clock: Clock) -> list[Row]:
    backend = "serving.backends.dali"
    video, contract, moments = (
        importlib.import_module(f"{backend}.{name}") for name in ("video", "contract", "moments")
    )
    chosen = files.videos[:BATCH]
    numbers = [contract.evenly(video.index(one.tobytes())[0], FRAMES).astype(np.int32) for one in chosen]
    feeds = {"video": chosen, "frames": numbers}
    sampling = moments.Sampling(FRAMES, VIDEO_PX)
    gpu = _built(code.videos(VIDEO_PX, "gpu", batch_size=BATCH, num_threads=2, device_id=0))
    expected = [video.read(one, sampling, 2).frames for one in chosen]
    found = _decoded(gpu, feeds)
    return [
        _row("video", "cpu", clock(lambda: [video.read(one, sampling, 2) for one in chosen]), len(chosen)),
        _row("video", "gpu", clock(lambda: gpu.run(**feeds)), len(chosen))
        | compared("video", expected, found),
    ]


def _built(pipeline: Any) -> Any:
    pipeline.build()
    return pipeline


def _decoded(pipeline: Any, feeds: Feeds) -> list[np.ndarray]:
    (output,) = pipeline.run(**feeds)
    output = output.as_cpu()
    return [np.array(output.at(place)) for place in range(len(output))]


def _row(kind: str, device: str, milliseconds: float, batch: int) -> Row:
    return {
        "kind": kind,
        "device": device,
        "batch": batch,
        "latency_ms": milliseconds,
        "items_per_s": batch / milliseconds * 1e3,
    }


def compared(kind: str, expected: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> Row:
    """Mean and largest difference in levels over all files, and whether the mean is small enough."""
    if [one.shape for one in expected] != [one.shape for one in found]:
        raise ValueError(
            f"{kind}: expected shapes {[one.shape for one in expected]}, got {[one.shape for one in found]}"
        )
    differences = [
        np.abs(a.astype(np.float64) - b.astype(np.float64)).ravel()
        for a, b in zip(expected, found, strict=True)
    ]
    whole = np.concatenate(differences)
    mean = float(whole.mean())
    return {"mean_abs": mean, "max_abs": float(whole.max()), "ok": mean <= MEAN_LEVELS[kind]}
