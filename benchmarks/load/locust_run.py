"""The command line of locust for a load, and its statistics as a result."""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossfuse import Client
from tqdm import tqdm

import serving
from serving import control, state

LOCUSTFILE = Path(__file__).parents[1] / "locustfile.py"
ROOT = LOCUSTFILE.parents[1]
USERS = {
    "weld_inspection": "Welds",
    "video_quality": "Clips",
    "vision_language": "Pairs",
    "visual_question_answering": "Questions",
}
QUICK = {"users": 2, "run_s": 5, "think_s": 0.0}
PERCENTILES = (50, 95, 99)
STDERR = 2  # what locust says is progress, not our result
STOP_S = 60.0  # for users to finish after Ctrl-C


@dataclass(frozen=True)
class Session:
    """One run of locust; `workers` above 1 adds a master that only counts."""

    url: str
    pipelines: Sequence[str]
    welds: Path
    users: int = 8
    run_s: int = 60
    think_s: float = 1.0
    shape: str = "plain"
    complete: bool = False
    workers: int = 1
    headless: bool = False
    web_port: int = 8089
    seed: int = 7

    def __post_init__(self) -> None:
        if min(self.users, self.run_s, self.workers) < 1 or self.think_s < 0:
            raise ValueError(
                f"load: expected users, seconds, workers of at least 1, got {self.users}, {self.run_s} and "
                f"{self.workers}; and a pause of at least 0 s, got {self.think_s}"
            )


def session(chosen: argparse.Namespace, url: str, pipelines: Sequence[str], welds: Path) -> Session:
    """What the command line asks for."""
    asked = {name: getattr(chosen, name) for name in ("users", "run_s", "think_s", "shape", "complete")}
    asked |= QUICK if chosen.quick else {}
    headless = chosen.headless or chosen.quick
    return Session(
        url, pipelines, welds.resolve(), workers=chosen.workers, headless=headless, web_port=chosen.web_port,
        seed=chosen.seed, **asked,
    )  # fmt: skip


def command(session: Session, statistics: Path) -> list[str]:
    """What to run. statistics: the file that the users' master writes at the end"""
    words = [sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE), "--host", session.url]
    words += ["--users", str(session.users), "--spawn-rate", str(session.users)]
    words += ["--think-s", str(session.think_s), "--welds", str(session.welds), "--seed", str(session.seed)]
    words += ["--complete"] if session.complete else []
    words += ["--statistics", str(statistics)]
    if session.workers > 1:
        words += ["--processes", str(session.workers), "--master-bind-host", "127.0.0.1"]
    if session.headless:
        words += ["--headless", "--only-summary", "--loglevel", "WARNING", "--exit-code-on-error", "0"]
        words += ["--run-time", f"{session.run_s}s", "--shape", session.shape]
    else:
        words += ["--web-host", "127.0.0.1", "--web-port", str(session.web_port), "--class-picker"]
    return words + [USERS[name] for name in session.pipelines]


def server(own: ExitStack, url: str | None, pipelines: Sequence[str] | None) -> tuple[str, Sequence[str]]:
    """Where to send, and which pipelines are served there; starts a server on `own` if none runs.

    raises: ValueError for a pipeline that is not served
    """
    if url is None:
        running = control.address(state.STATE_FOLDER)
        if running is None or running.state().phase != "ready":
            wanted = pipelines or control.default_pipelines(control.REPOSITORY)[0]
            running = own.enter_context(serving.running(list(wanted)))
        url = running.grpc
    with Client(url) as client:
        served = [name for name, ready in client.status().pipelines.items() if ready]
    missing = sorted(set(pipelines or ()) - set(served))
    if missing or not served:
        raise ValueError(
            f"load: expected {', '.join(missing) or 'a pipeline'} at {url}, "
            f"got {', '.join(served) or 'none'}; "
            "start the server with it, or name another"
        )
    return url, list(pipelines or served)


def check_installed() -> None:
    """raises: RuntimeError naming the extra when locust is missing."""
    if importlib.util.find_spec("locust") is None:
        raise RuntimeError("load: expected locust, it is not installed; pip install '.[load]'")


def measure(session: Session, statistics: Path) -> dict[str, Any]:
    """Run locust to its end. raises: RuntimeError when it leaves no statistics"""
    statistics.parent.mkdir(parents=True, exist_ok=True)
    statistics.unlink(missing_ok=True)
    with subprocess.Popen(command(session, statistics.resolve()), cwd=ROOT, stdout=STDERR) as locust:
        try:
            _watch(locust, session)
        except KeyboardInterrupt:  # how a page is closed; locust heard it too
            locust.wait(STOP_S)
    if not statistics.is_file():
        raise RuntimeError("load: expected locust's statistics, got none; its messages are above")
    asked = {"users": session.users, "shape": session.shape, "think_s": session.think_s}
    found = json.loads(statistics.read_text(encoding="utf-8"))
    failures = sorted(found["failures"], key=lambda one: -int(one["count"]))
    return asked | figures(found["entries"]) | {"failures": failures}


def _watch(locust: subprocess.Popen[bytes], session: Session) -> None:
    """Until it ends; headless, with a bar of the seconds that it was given."""
    seconds = range(session.run_s) if session.headless else ()
    for _ in tqdm(seconds, desc="load", unit="s", disable=not session.headless):
        with suppress(subprocess.TimeoutExpired):
            locust.wait(1.0)
            return
    locust.wait()


def figures(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Locust's own statistics as rows, and all of them together; times in milliseconds, sizes in bytes."""
    rows = [
        {"pipeline": one["method"], "sent": one["name"]} | _figures([one])
        for one in sorted(entries, key=lambda one: (one["method"], one["name"]))
    ]
    return {"rows": rows, "all": _figures(entries)}


def _figures(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    requests = sum(one["num_requests"] for one in entries)
    counts: dict[float, int] = {}
    for one in entries:
        for ms, count in one["response_times"].items():
            counts[float(ms)] = counts.get(float(ms), 0) + count
    starts = [one["start_time"] for one in entries]
    ends = [one["last_request_timestamp"] for one in entries if one["last_request_timestamp"]]
    span_s = max(ends) - min(starts) if ends else 0.0
    return {
        "requests": requests,
        "failures": sum(one["num_failures"] for one in entries),
        "rate_hz": round(requests / span_s, 3) if span_s > 0 else None,
        "mean_ms": round(sum(one["total_response_time"] for one in entries) / requests, 3)
        if requests
        else None,
        "latency_ms": {f"p{share}": percentile(counts, share) for share in PERCENTILES} if counts else {},
        "mean_bytes": round(sum(one["total_content_length"] for one in entries) / max(1, requests)),
    }


def percentile(counts: Mapping[float, int], share: float) -> float:
    """The smallest value that at least `share` percent of all do not exceed. counts: value -> how often"""
    due, seen = sum(counts.values()) * share / 100.0, 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= due:
            return value
    raise ValueError("percentile: expected counts, got none")
