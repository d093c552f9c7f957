"""The verb `tune`: instances, threads, delays and batches that give a pipeline more goodput."""

from __future__ import annotations

import argparse

from benchmarks import record
from benchmarks.commands.arguments import BUILD, Done, Verbs, add_repository, add_served, out_of, say


def add(verbs: Verbs) -> None:
    """The verb's arguments."""
    verb = verbs.add_parser(
        "tune",
        help="instances, threads, delays and batches that give a pipeline more goodput",
        description="Turn one knob of the CPU configurations after another, each setting on a server of its "
        "own, and keep what raises the goodput; the winner's configurations lie beside the result, with its "
        "measurement as a comment. The repository stays as it is.",
    )
    add_served(verb, "tune", "one knob, one value", url=False)
    add_repository(verb)


def run(chosen: argparse.Namespace) -> Done:
    """Search, write JSON and the winner's configurations."""
    from benchmarks import goodput, tune
    from benchmarks.workloads import workload

    facts = record.circumstances(chosen.seed) | {"pipeline": chosen.pipeline, "quick": chosen.quick}
    pipeline = workload(chosen.pipeline)
    payloads = pipeline.payloads(chosen.seed, BUILD)
    plan = goodput.Plan(**(goodput.QUICK if chosen.quick else {}), seed=chosen.seed)
    knobs = tune.QUICK_KNOBS if chosen.quick else tune.KNOBS
    path = out_of(chosen)
    result = tune.measure(chosen.repository, pipeline, payloads, plan, path.with_suffix(""), knobs)
    say(tune.table(result))
    return Done(record.write(path, facts | {"result": result}))
