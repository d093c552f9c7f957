"""The verb `offline`: everything at once."""

from __future__ import annotations

import argparse

from benchmarks import record
from benchmarks.commands.arguments import Done, Verbs, add_served, out_of, prepared, say, served


def add(verbs: Verbs) -> None:
    """The verb's arguments."""
    verb = verbs.add_parser(
        "offline",
        help="throughput and mean batch of every model when everything is there at once",
        description="Send all requests in one moment; mean batches are from Triton's own statistics.",
    )
    add_served(verb, "offline", "24 requests once")


def run(chosen: argparse.Namespace) -> Done:
    """Measure, write JSON."""
    from benchmarks import offline
    from benchmarks.verified import subject

    facts, work, payloads = prepared(chosen)
    plan = offline.Plan(**(offline.QUICK if chosen.quick else {}))
    with served(chosen.url, [chosen.pipeline]) as url:
        result = offline.measure(subject(url, work, payloads), plan)
    say(offline.table(result))
    return Done(record.write(out_of(chosen), facts | {"result": result}))
