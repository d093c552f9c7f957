"""The verb `engines`: what one request costs in the networks alone, by engine and precision."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import record
from benchmarks.commands.arguments import BUILD, Done, Verbs, say

QUICK_ROUNDS = 3


def add(verbs: Verbs) -> None:
    """The verb's arguments."""
    verb = verbs.add_parser(
        "engines",
        help="what one request costs in the networks alone, by engine and precision",
        description="Run the engines of a preset on the CPU, without a server, by ONNX Runtime and OpenVINO "
        "in fp32 and bf16 and as configured, in rounds that take turns.",
    )
    verb.add_argument("preset", help="such as weld_small; its engines have to be exported")
    verb.add_argument("--engines", type=Path, metavar="DIR", help="of `export --out` (default: version 1)")
    verb.add_argument("--threads", type=int, default=0, help="of each engine (default: all cores)")
    verb.add_argument("--rounds", type=int, default=60, help="default: %(default)s")
    verb.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds")
    verb.add_argument("--out", type=Path, help=f"default: {BUILD}/engines_PRESET.json")


def run(chosen: argparse.Namespace) -> Done:
    """Measure and write JSON; how fast an engine is, is a figure."""
    from benchmarks import engines

    facts = record.circumstances(engines.SEED)
    rounds = QUICK_ROUNDS if chosen.quick else chosen.rounds
    result = engines.measure(chosen.preset, engines.Plan(rounds, chosen.threads, chosen.engines))
    say(engines.table(result))
    path = chosen.out or BUILD / f"engines_{chosen.preset}.json"
    return Done(record.write(path, facts | {"result": result}))
