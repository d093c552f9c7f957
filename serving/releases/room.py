"""Whether two resident sets fit: disk, memory and shared memory, asked before anything is touched."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from serving.processes import SHARED_MEMORY
from serving.releases.sets import Candidate
from serving.server import SHM_BUSY_BYTES

MIB = 1 << 20
DISK_SLACK = 1.05  # blocks, folders, manifests
DISK_RESERVE = 64 * MIB  # reports, the record, and a log that goes on growing
# Measured on Triton 2.51: one more version of a weld_small engine adds 80 MiB of resident memory beyond the
# size of its file (Python, ONNX Runtime, its arena after the first requests). Half as much again, for batches
# larger than those measured; the file twice: the session holds the protobuf while it packs the weights.
MODEL_BYTES = 120 * MIB
FILE_COPIES = 2
UNLIMITED = 1 << 60  # cgroup v1 says "no limit" with a number near 2^63


@dataclass(frozen=True)
class Room:
    """Free bytes; None where nobody could say, and then nothing is refused for it.

    memory: of the host and of every control group this process is in, whichever has least
    shm:    of /dev/shm; None when the server is in a container, which has its own
    gpu:    of the GPU that has least
    """

    disk: int
    memory: int | None = None
    shm: int | None = None
    gpu: int | None = None


@dataclass(frozen=True)
class Need:
    """Bytes that a set takes beside the live one."""

    disk: int
    memory: int = 0
    shm: int = 0
    gpu: int = 0


def need(changed: Collection[Candidate], target: str) -> Need:
    """What the changed models of a set take while the old ones stay.

    On a GPU the engines lie in its memory and the host only passes them on: it is asked for the files alone.
    """
    files = sum(candidate.bytes for candidate in changed)
    loaded = sum(FILE_COPIES * candidate.engine_bytes + MODEL_BYTES for candidate in changed)
    engines = sum(candidate.engine_bytes for candidate in changed)
    on_gpu = target == "gpu"
    return Need(
        disk=int(files * DISK_SLACK) + DISK_RESERVE,
        memory=engines if on_gpu else loaded,
        shm=0 if on_gpu else SHM_BUSY_BYTES * len(changed),
        gpu=loaded if on_gpu else 0,
    )


def refuse(needed: Need, room: Room) -> None:
    """RuntimeError with a sentence for each thing there is too little of; nothing when all of it fits."""
    shortages = list(_shortages(needed, room))
    if shortages:
        raise RuntimeError("\n".join(shortages))


def _shortages(needed: Need, room: Room) -> Iterator[str]:
    retire = "retire releases that nobody needs (`release retire"
    remedies = {
        "disk": ("disk", f"{retire} --delete`), or use a larger disk"),
        "memory": ("memory", f"{retire}`), or use a larger machine"),
        "shm": ("/dev/shm", f"{retire}`), or give the container more (--shm-size=512m)"),
        "gpu": ("GPU memory", f"{retire}`), or use a larger GPU"),
    }
    for kind, (place, remedy) in remedies.items():
        wanted, free = getattr(needed, kind), getattr(room, kind)
        if free is not None and free < wanted:
            yield (
                f"{place}: expected {-(-wanted // MIB)} MiB free for a second resident set, "
                f"got {free // MIB} MiB; {remedy}"
            )


def measure(repository: Path, metrics_url: str | None = None, embedded: bool = True) -> Room:
    """What is free now.

    metrics_url: the metrics page of a server with a GPU; a server that does not answer leaves `gpu` unknown
    embedded:    whether the server runs on this machine's /dev/shm
    """
    return Room(
        disk=shutil.disk_usage(repository).free,
        memory=memory_free(),
        shm=shutil.disk_usage(SHARED_MEMORY).free if embedded and SHARED_MEMORY.is_dir() else None,
        gpu=gpu_free(metrics_page(metrics_url)) if metrics_url else None,
    )


def memory_free(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that processes can still take: the kernel's estimate, or less in a tighter control group."""
    bounds = [
        free for free in (_available(proc / "meminfo"), *_group_bounds(proc, groups)) if free is not None
    ]
    return min(bounds, default=None)


def _available(meminfo: Path) -> int | None:
    found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(), re.M) if meminfo.is_file() else None
    return int(found[1]) * 1024 if found else None


def _group_bounds(proc: Path, groups: Path) -> Iterator[int | None]:
    """What each control group above this process leaves; v1 or v2, whichever carries the controller."""
    membership = proc / "self" / "cgroup"
    for line in membership.read_text().splitlines() if membership.is_file() else ():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from (_left(folder, *names) for folder in _upwards(groups / "memory", path))
        elif not controllers:
            names = ("memory.max", "memory.current", "inactive_file")
            root = groups if (groups / "cgroup.controllers").is_file() else groups / "unified"
            yield from (_left(folder, *names) for folder in _upwards(root, path))


def _upwards(root: Path, path: str) -> Iterator[Path]:
    """The folders from a group up to the root; in a container the root alone is there: it is the group."""
    folder = root / path.strip("/")
    while True:
        yield folder
        if folder == root:
            return
        folder = folder.parent


def _left(folder: Path, limit: str, usage: str, reclaimable: str) -> int | None:
    """Limit less usage; file pages that nobody used lately count as free, as they do in MemAvailable."""
    try:
        bound, used = (folder / limit).read_text().strip(), int((folder / usage).read_text())
        statistics = (folder / "memory.stat").read_text()
    except FileNotFoundError:
        return None
    if bound == "max" or int(bound) > UNLIMITED:
        return None
    cached = re.search(rf"^{reclaimable} (\d+)", statistics, re.M)
    return max(0, int(bound) - used + (int(cached[1]) if cached else 0))


def metrics_page(url: str, timeout_s: float = 2.0) -> str:
    """What a server tells Prometheus; empty when it does not answer."""
    import urllib.request  # here: only a server with a GPU is asked

    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            return answer.read().decode()
    except OSError:  # not running: then the engines of the live set are not in the way either
        return ""


def gpu_free(page: str) -> int | None:
    """Total less used of the GPU that has least; None when the page knows of none.

    source: nv_gpu_memory_total_bytes and nv_gpu_memory_used_bytes of Triton's metrics
    """
    totals, used = (_by_gpu(page, f"nv_gpu_memory_{kind}_bytes") for kind in ("total", "used"))
    return min((int(totals[gpu] - used.get(gpu, 0.0)) for gpu in totals), default=None)


def _by_gpu(page: str, metric: str) -> dict[str, float]:
    return {
        gpu: float(value) for gpu, value in re.findall(rf'^{metric}{{gpu_uuid="(.*?)"}} (\S+)', page, re.M)
    }
