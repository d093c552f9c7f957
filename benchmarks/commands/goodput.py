"""The verb `goodput`: the highest rate of random arrivals whose answers are in time and right."""

from __future__ import annotations

import argparse

from benchmarks import record
from benchmarks.commands.arguments import (
    Done,
    Verbs,
    add_served,
    add_times,
    out_of,
    prepared,
    say,
    search_of,
    served,
)


def add(verbs: Verbs) -> None:
    """The verb's arguments."""
    verb = verbs.add_parser(
        "goodput",
        help="the highest rate of random arrivals whose answers are in time and right",
        description="Bisect the rate of open-loop Poisson arrivals: 99 % of the answers within the SLO with "
        "99 % confidence, at most 0.1 % failed or wrong. Every answer is compared with the same request's "
        "answer when it was asked alone.",
    )
    add_served(verb, "goodput", "one short search")
    add_times(verb)


def run(chosen: argparse.Namespace) -> Done:
    """Search, write JSON; a quick run is not judged."""
    from benchmarks import goodput
    from benchmarks.verified import subject

    facts, work, payloads = prepared(chosen)
    with served(chosen.url, [chosen.pipeline]) as url:
        result = goodput.measure(subject(url, work, payloads), search_of(chosen))
    say(goodput.table(result))
    faults = [] if chosen.quick else goodput.faults(result)
    return Done(record.write(out_of(chosen), facts | {"faults": faults, "result": result}), faults)
