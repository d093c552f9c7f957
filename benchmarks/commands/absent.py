"""The verb `absent`: what a modality that is not there costs the others."""

from __future__ import annotations

import argparse

from benchmarks import record
from benchmarks.commands.arguments import (
    Done,
    Mistyped,
    Verbs,
    add_repository,
    add_served,
    out_of,
    prepared,
    say,
    served,
)

MAY_BE_ABSENT = ("weld_inspection", "vision_language")


def add(verbs: Verbs) -> None:
    """The verb's arguments."""
    verb = verbs.add_parser(
        "absent",
        help="requests with one modality against that modality's branch alone; batches of mixed traffic",
        description="Throughput of requests with one modality beside that of its decoder and encoder asked "
        "directly, and the mean batch of mixed beside that of uniform traffic.",
    )
    add_served(verb, "absent", "16 requests once")
    add_repository(verb)


def run(chosen: argparse.Namespace) -> Done:
    """Measure, write JSON; a goal that is missed is a figure."""
    if chosen.pipeline not in MAY_BE_ABSENT:
        raise Mistyped(
            f"PIPELINE: expected {' or '.join(MAY_BE_ABSENT)}, got {chosen.pipeline}, which refuses requests "
            "without all its modalities"
        )
    from benchmarks import absent

    facts, work, payloads = prepared(chosen)
    plan = absent.Plan(**(absent.QUICK if chosen.quick else {}), seed=chosen.seed)
    with served(chosen.url, [chosen.pipeline], chosen.repository) as url:
        result = absent.measure(url, chosen.repository, work, payloads, plan)
    say(absent.table(result))
    return Done(record.write(out_of(chosen), facts | {"result": result}))
