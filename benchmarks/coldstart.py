"""Cold start: from the command to a server that is ready, to its first answer, and what it holds in memory.

Files that were read before lie in the page cache: what is measured is the start of processes and engines,
not of disks. The first of all starts is listed with the rest, for whoever wants to see what the cache does.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

import serving
from benchmarks.goodput import said, spread
from benchmarks.offline import burst
from benchmarks.verified import asked_alone, messages_of, subject
from benchmarks.workloads import Workload
from serving.processes import belonging, stubs

MIB = 1 << 20
STARTS, QUICK_STARTS = 5, 1
BURST, QUICK_BURST = 64, 8
PROPORTIONAL, RESIDENT = "Pss", "Rss"


def memory(pids: Sequence[int], proc: Path = Path("/proc")) -> dict[str, float]:
    """MiB of these processes together: `pss`, which divides shared pages among their users, and `rss`."""
    total = {PROPORTIONAL: 0, RESIDENT: 0}
    for pid in pids:
        try:
            lines = (proc / str(pid) / "smaps_rollup").read_text().splitlines()
        except OSError:  # ended meanwhile
            continue
        for line in lines:
            name, _, value = line.partition(":")
            if name in total:
                total[name] += int(value.split()[0]) * 1024
    return {name.lower(): round(value / MIB, 1) for name, value in total.items()}


def start_once(
    repository: Path, workload: Workload, payloads: Sequence[Mapping[str, Any]], at_once: int
) -> dict[str, Any]:
    """One start, one answer, some requests at once, and the memory after each."""
    messages = messages_of(workload.pipeline, payloads)
    began = time.monotonic()
    with serving.running([workload.pipeline], repository) as address:
        ready_s = time.monotonic() - began
        asked_alone(address.grpc, messages[:1], workload.outputs)
        answered_s = time.monotonic() - began
        state = address.state()
        supervisor = [state.supervisor_pid]
        idle = memory([*belonging(state.shm_prefix), *supervisor])
        by_model = {stub.instance: memory([stub.pid])["pss"] for stub in stubs(state.shm_prefix).values()}
        burst(subject(address.grpc, workload, payloads), at_once)
        loaded = memory([*belonging(state.shm_prefix), *supervisor])
        processes = len(belonging(state.shm_prefix)) + 1
    return {
        "ready_s": round(ready_s, 3),
        "first_answer_s": round(answered_s, 3),
        "processes": processes,
        "memory_mib": {"ready": idle, "after_load": loaded},
        "pss_mib_of_instances": dict(sorted(by_model.items())),
    }


def measure(
    repository: Path, workload: Workload, payloads: Sequence[Mapping[str, Any]], quick: bool
) -> dict[str, Any]:
    """Start, ask, stop, again and again."""
    starts, requests = (QUICK_STARTS, QUICK_BURST) if quick else (STARTS, BURST)
    runs = [
        start_once(repository, workload, payloads, requests)
        for _ in tqdm(range(starts), desc="coldstart", unit="start", file=sys.stderr)
    ]
    return figures(runs) | {"burst": requests}


def figures(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Median [least, most] of the starts, and each of them."""
    return {
        "ready_s": spread([one["ready_s"] for one in runs]),
        "first_answer_s": spread([one["first_answer_s"] for one in runs]),
        "pss_mib": {
            moment: spread([one["memory_mib"][moment]["pss"] for one in runs])
            for moment in ("ready", "after_load")
        },
        "starts": list(runs),
    }


def table(result: Mapping[str, Any]) -> str:
    """The result for a terminal."""
    held = result["pss_mib"]
    last = result["starts"][-1]
    width = max(map(len, last["pss_mib_of_instances"]), default=0)
    rows = [f"{name:<{width}} {size:8.0f} MiB" for name, size in last["pss_mib_of_instances"].items()]
    return "\n".join(
        [
            *rows,
            f"ready after {said(result['ready_s'], ' s')}",
            f"first answer after {said(result['first_answer_s'], ' s')}",
            f"{last['processes']} processes hold {said(held['ready'], ' MiB')}",
            f"after {result['burst']} requests at once {said(held['after_load'], ' MiB')}",
        ]
    )
