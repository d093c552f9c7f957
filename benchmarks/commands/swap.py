"""The verb `swap`: flip and roll back a set of models under traffic, and look at every answer."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import record
from benchmarks.commands.arguments import BUILD, Done, Mistyped, Verbs, above_zero, say

QUICK = {"flips": 4, "blocks": 2, "steady_s": 3.0}
DESCRIPTION = (
    "Flip and roll back a set of at least three models under open-loop traffic. Fails unless there are no "
    "errors, no answer from a mixture of sets, a median below 50 ms and no latency above twice the steady "
    "p99."
)


def add(verbs: Verbs) -> None:
    """The verb's arguments."""
    above = above_zero(float)
    verb = verbs.add_parser(
        "swap",
        help="flip and roll back a set of models under traffic, and look at every answer",
        description=DESCRIPTION,
    )
    verb.add_argument(
        "--flips", type=above_zero(int), metavar="N", help="and as many rollbacks (default: 50)"
    )
    verb.add_argument(
        "--every-s", type=above, default=0.7, help="from one to the next (default: %(default)s)"
    )
    verb.add_argument(
        "--steady-s", type=above, help="of plain traffic around each block of flips (default: 10)"
    )
    verb.add_argument("--rate", type=above, metavar="HZ", help="default: 40 %% of what the server can do")
    verb.add_argument("--set", type=Path, metavar="DIR", help="engines to flip to (default: some are made)")
    verb.add_argument("--url", help="a running server of yours, with --repository (default: start one)")
    verb.add_argument("--repository", type=Path, metavar="DIR", help="what that server reads; it is changed")
    verb.add_argument("--quick", action="store_true", help="4 flips, and only the answers are judged")
    verb.add_argument("--naive", action="store_true", help="also reload the models one after another")
    verb.add_argument("--seed", type=int, default=7, help="of welds, noise, requests (default: %(default)s)")
    verb.add_argument("--out", type=Path, default=BUILD / "swap.json", help="default: %(default)s")


def run(chosen: argparse.Namespace) -> Done:
    """Measure, write JSON, every request (.npz) and the picture."""
    if (chosen.url is None) != (chosen.repository is None):
        raise Mistyped("--url and --repository: expected both or neither, got one; a release changes both")
    from benchmarks import swap, swap_picture
    from benchmarks.flips import Plan

    facts = record.circumstances(chosen.seed)
    asked = {name: value for name in ("flips", "steady_s") if (value := getattr(chosen, name)) is not None}
    plan = Plan(**(QUICK if chosen.quick else {}) | asked | {"every_s": chosen.every_s, "seed": chosen.seed})
    server = (chosen.url, chosen.repository.resolve()) if chosen.url else None
    work = BUILD / "swap"
    outcome = swap.run(swap.Request(work, plan, chosen.set, server, chosen.rate, chosen.naive))
    faults = swap.faults(outcome.result, answers_only=chosen.quick)
    say(swap.table(outcome.result))
    outcome.recorded.save(chosen.out.with_suffix(".npz"), labels=outcome.labels)
    swap_picture.draw(outcome, chosen.out.with_suffix(".png"))
    return Done(record.write(chosen.out, facts | {"faults": faults, "result": outcome.result}), faults)
