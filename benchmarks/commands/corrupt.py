"""The verb `corrupt`: whether one corrupt request in a hundred harms any other."""

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
    served,
    times_of,
)

QUICK_SHARE = 0.2  # so that a quick run meets some at all


def add(verbs: Verbs) -> None:
    """The verb's arguments."""
    verb = verbs.add_parser(
        "corrupt",
        help="whether one corrupt request in a hundred harms any other, and what it costs",
        description="Good answers under overload with and without 1 % corrupt inputs, in turn. Fails when an "
        "intact request fails or gets another answer than alone.",
    )
    add_served(verb, "corrupt", "a short turn of each, every fifth request corrupt")
    add_times(verb, point_s=5, repeats=15)


def run(chosen: argparse.Namespace) -> Done:
    """Measure, write JSON; harm is judged in a quick run too."""
    from benchmarks import corrupt, match

    facts, work, payloads = prepared(chosen)
    share = QUICK_SHARE if chosen.quick else corrupt.SHARE
    plan = match.Plan(**times_of(chosen, match.QUICK), seed=chosen.seed)
    with served(chosen.url, [chosen.pipeline]) as url:
        result = corrupt.measure(url, work, payloads, plan, share)
    say(corrupt.table(result))
    faults = corrupt.faults(result)
    return Done(record.write(out_of(chosen), facts | {"faults": faults, "result": result}), faults)
