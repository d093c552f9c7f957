"""The verb `tune`: instances, threads, delays and batches that give a pipeline more goodput."""

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
    times_of,
)


def add(verbs: Verbs) -> None:
    """The verb's arguments."""
    verb = verbs.add_parser(
        "tune",
        help="instances, threads, delays and batches that give a pipeline more goodput",
        description="Turn one knob of the CPU configurations after another, the setting and the best so far "
        "on two servers that answer the same load in turn, and keep what gives more answers within the SLO; "
        "the winner's configurations lie beside the result, with its measurement as a comment. The "
        "repository stays as it is.",
    )
    add_served(verb, "tune", "one knob, one value", url=False)
    add_times(verb, point_s=5, repeats=15)
    add_repository(verb)


def run(chosen: argparse.Namespace) -> Done:
    """Search, write JSON and the winner's configurations."""
    from benchmarks import match, tune

    facts, work, payloads = prepared(chosen)
    knobs = tune.QUICK_KNOBS if chosen.quick else tune.KNOBS
    path = out_of(chosen)
    beside = path.with_suffix("")
    plan = match.Plan(**times_of(chosen, match.QUICK), seed=chosen.seed)
    result = tune.measure(chosen.repository, work, payloads, plan, beside, knobs)
    say(tune.table(result))
    return Done(record.write(path, facts | {"result": result}))
