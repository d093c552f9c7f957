"""The verb `stages`: where the time of one request goes."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import record
from benchmarks.commands.arguments import BUILD, Done, Verbs, above_zero, say, served


def add(verbs: Verbs) -> None:
    """The verb's arguments."""
    verb = verbs.add_parser(
        "stages",
        help="where the time of one request goes",
        description="Triton's statistics per model, for requests sent one after another by a single client.",
    )
    verb.add_argument("--url", help="a running server (default: start one)")
    verb.add_argument("--welds", type=Path, help="folder of weld runs (default: twelve simulated ones)")
    verb.add_argument("--requests", type=above_zero(int), default=100, help="default: %(default)s")
    verb.add_argument("--seed", type=int, default=7, help="of the simulated runs (default: %(default)s)")
    verb.add_argument("--out", type=Path, default=BUILD / "stages.json", help="default: %(default)s")


def run(chosen: argparse.Namespace) -> Done:
    """Measure against the given server or against one of our own."""
    from benchmarks import stages  # here, as in every command: its imports cost seconds elsewhere

    facts = record.circumstances(chosen.seed)
    requests = stages.welds(chosen.welds, chosen.seed, BUILD)
    with served(chosen.url, [stages.PIPELINE]) as url:
        result = stages.measure(url, requests, chosen.requests)
    say(stages.table(result))
    return Done(record.write(chosen.out, facts | {"result": result}))
