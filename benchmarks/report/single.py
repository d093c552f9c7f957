"""Sections that are one table: they stand alone, never beside goodput, and are not to be compared with it."""

from __future__ import annotations

from benchmarks.report.html import missing, note, section, table
from benchmarks.report.results import Result, Results, digits, said


def others(results: Results) -> str:
    """Offline throughput, cold start and closed loops: tables of their own, never beside goodput."""
    return "".join((_offline(results), _coldstart(results), _load(results)))


def _offline(results: Results) -> str:
    found = results.of("offline")
    if not found:
        return missing("Everything at once", "offline")
    rows = [(one.pipeline, said(one.figure("throughput_hz"), "Hz"), _batches(one)) for one in found]
    return section("Everything at once", table(("pipeline", "throughput", "mean batch"), rows), of=found)


def _batches(found: Result) -> str:
    return ", ".join(f"{name} {digits(size)}" for name, size in (found.figure("mean_batch") or {}).items())


def _coldstart(results: Results) -> str:
    found = results.of("coldstart")
    if not found:
        return missing("Cold start and memory", "coldstart")
    rows = [
        (
            one.pipeline,
            said(one.figure("ready_s"), "s"),
            said(one.figure("first_answer_s"), "s"),
            said(one.figure("pss_mib", "ready"), "MiB"),
            said(one.figure("pss_mib", "after_load"), "MiB"),
        )
        for one in found
    ]
    heads = ("pipeline", "start to ready", "to the first answer", "memory when ready", "memory after load")
    return section("Cold start and memory", table(heads, rows), of=found)


def _load(results: Results) -> str:
    found = results.of("load")
    if not found:
        return missing("Users in a closed loop", "load --headless")
    parts = []
    for one in found:
        rows = [
            (
                row["pipeline"], row["sent"], str(row["requests"]), str(row["failures"]),
                *(said(row["latency_ms"].get(name)) for name in ("p50", "p95", "p99")),
            )
            for row in one.figure("rows") or ()
        ]  # fmt: skip
        parts.append(table(("pipeline", "sent", "requests", "failed", "p50, ms", "p95", "p99"), rows))
    text = "Users of locust wait for their answer before they ask again: a slow server is asked less often."
    return section("Users in a closed loop", note(text), *parts, of=found)


def accuracy(results: Results) -> str:
    """Right answers through the server, and the order of a quality ladder."""
    found, ladder = results.of("accuracy"), results.last("ladder")
    if not found and ladder is None:
        return missing("Whether the answers are right", "accuracy")
    rows = [
        (
            one.pipeline,
            str(one.figure("data") or ""),
            *(
                f"{one.figure(who, 'accuracy'):.2%}"
                for who in ("server", "pytorch")
                if one.figure(who, "accuracy")
            ),
        )
        for one in found
    ]
    if ladder is not None and (share := ladder.figure("all", "share")) is not None:
        pairs = ladder.figure("all", "pairs")
        rows.append(
            ("video_quality", f"pairs of one compression ladder, {pairs} of them", f"{share:.2%}", "")
        )
    heads = ("pipeline", "of", "right, served", "right, PyTorch")
    return section(
        "Whether the answers are right", table(heads, rows), of=[*found, *([ladder] if ladder else [])]
    )
