"""The verb `coldstart`: from the command to the first answer, and what a server holds in memory."""

from __future__ import annotations

import argparse

from benchmarks import record
from benchmarks.commands.arguments import Done, Verbs, add_repository, add_served, out_of, prepared, say


def add(verbs: Verbs) -> None:
    """The verb's arguments."""
    verb = verbs.add_parser(
        "coldstart",
        help="seconds to ready and to the first answer, memory of all processes",
        description="Start a server of our own, ask once, send some requests at once, stop; again and again.",
    )
    add_served(verb, "coldstart", "one start", url=False)
    add_repository(verb)


def run(chosen: argparse.Namespace) -> Done:
    """Measure, write JSON."""
    from benchmarks import coldstart

    facts, work, payloads = prepared(chosen)
    result = coldstart.measure(chosen.repository, work, payloads, chosen.quick)
    say(coldstart.table(result))
    return Done(record.write(out_of(chosen), facts | {"result": result}))
