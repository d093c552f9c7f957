"""The verb `peers`: other servers doing the same job, each in its own environment, beside ours."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import record
from benchmarks.commands.arguments import (
    BUILD,
    Done,
    Mistyped,
    Verbs,
    above_zero,
    add_repository,
    prepared,
    say,
)

NAMES = ("fast_api", "lit_serve", "bento_ml", "ray_serve", "ml_server")
VARIANTS = ("torch", "same-engines")


def add(verbs: Verbs) -> None:
    """The verb's arguments."""
    verb = verbs.add_parser(
        "peers",
        help="goodput of FastAPI, LitServe, BentoML, Ray Serve and MLServer doing the same job, beside ours",
        description="Make an environment for each peer, start it, check its answers against PyTorch's, and "
        "search its goodput with the same open-loop generator; in every round all sides and our own server.",
    )
    verb.add_argument("--only", choices=NAMES, action="append", metavar="NAME", help=", ".join(NAMES))
    verb.add_argument("--variant", choices=VARIANTS, action="append", help="default: both")
    verb.add_argument("--rounds", type=above_zero(int), help="default: 5; 1 with --quick")
    verb.add_argument(
        "--point-s", type=above_zero(float), help="of arrivals at each rate (default: 60; 1.5 with --quick)"
    )
    verb.add_argument(
        "--quick",
        action="store_true",
        help="one short search of each: proves the logic, its figures say nothing",
    )
    verb.add_argument("--seed", type=int, default=7, help="of payloads and arrivals (default: %(default)s)")
    verb.add_argument("--out", type=Path, default=BUILD / "peers.json", help="default: %(default)s")
    verb.add_argument(
        "--resume",
        action="store_true",
        help="keep the rounds that --out has and make the missing ones, of the same plan on the same machine",
    )
    add_repository(verb)


def run(chosen: argparse.Namespace) -> Done:
    """Measure all sides, write JSON; a quick run is judged by whether every side answered, and no more."""
    from benchmarks.peers import PEERS, measuring
    from benchmarks.peers.checking import reference, served_engines
    from benchmarks.peers.settings import SAME_ENGINES
    from benchmarks.peers.sides import Question, Side

    facts, work, payloads = prepared(chosen, "weld_inspection")
    plan = measuring.plan(chosen.quick, chosen.seed, chosen.rounds, chosen.point_s)
    earlier = resumed(chosen.out, facts, asdict(plan)) if chosen.resume else None
    if earlier:
        facts["resumed"] = history(earlier)
    engines = served_engines(chosen.repository)
    sides = [
        Side(PEERS[name], variant, engines if variant == SAME_ENGINES else {})
        for name in dict.fromkeys(chosen.only or NAMES)
        for variant in dict.fromkeys(chosen.variant or VARIANTS)
    ]
    question = Question(work, payloads, reference(payloads, work.outputs))
    folder = (BUILD / "peers").resolve()

    def keep(known: dict[str, Any]) -> None:
        record.write(chosen.out, facts | {"complete": False, "result": known})

    rows = earlier["result"]["servers"] if earlier else ()
    result = measuring.measure(sides, question, plan, chosen.repository, folder, keep, rows)
    say(measuring.table(result))
    faults = result["failures"] if chosen.quick else measuring.faults(result)
    ended = {"complete": not result["lacking"], "faults": faults, "result": result}
    return Done(record.write(chosen.out, facts | ended), faults)


def resumed(path: Path, facts: Mapping[str, Any], plan: Mapping[str, Any]) -> dict[str, Any]:
    """The result to go on with.

    raises: Mistyped when there is none, or when it is not of this plan, machine and these versions
    """
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        before = _alike(found, found["result"]["plan"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Mistyped(
            f"peers: --resume expected a result of `peers` at {path}; leave it out first"
        ) from error
    for name, value in json.loads(json.dumps(_alike(facts, plan))).items():
        if before[name] != value:
            raise Mistyped(
                f"peers: --resume expected the {name} of {path}, {before[name]}, got {value}; repeat what "
                "that run was told, or give another --out"
            )
    return found


def _alike(facts: Mapping[str, Any], plan: Mapping[str, Any]) -> dict[str, Any]:
    """What has to be the same for rounds to be added."""
    return {name: facts[name] for name in ("machine", "versions", "seed")} | {
        name: plan[name] for name in ("search", "curve")
    }


def history(earlier: Mapping[str, Any]) -> list[dict[str, Any]]:
    """When and from what a result was made so far."""
    own = {name: earlier[name] for name in ("command", "commit", "time")}
    return [*earlier.get("resumed", ()), own]
