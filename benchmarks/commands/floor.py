"""The verb `floor`: the same work in one process without a server, and what serving keeps of it."""

from __future__ import annotations

import argparse

from benchmarks import record
from benchmarks.commands.arguments import (
    Done,
    Verbs,
    add_repository,
    add_served,
    add_times,
    out_of,
    prepared,
    say,
    served,
    times_of,
)


def add(verbs: Verbs) -> None:
    """The verb's arguments."""
    verb = verbs.add_parser(
        "floor",
        help="the same work in one process without a server, and what serving keeps of it",
        description="Decode, encode and fuse with the served engines in this process, at the best batch and "
        "division of the cores; then floor and server in turn, and the share of a large matrix product.",
    )
    add_served(verb, "floor", "0.3 s a setting")
    add_times(verb)
    add_repository(verb)


def run(chosen: argparse.Namespace) -> Done:
    """Measure, write JSON; a goal that is missed is a figure."""
    from benchmarks import floor
    from benchmarks.verified import subject

    facts, work, payloads = prepared(chosen)
    plan = floor.Plan(**times_of(chosen, floor.QUICK))
    with served(chosen.url, [chosen.pipeline], chosen.repository) as url:
        result = floor.measure(subject(url, work, payloads), chosen.repository, plan)
    say(floor.table(result))
    return Done(record.write(out_of(chosen), facts | {"result": result}))
