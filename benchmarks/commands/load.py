"""The verb `load`: locust's users against a running server, with its page or headless."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

from benchmarks import record
from benchmarks.commands.arguments import BUILD, Done, Verbs
from benchmarks.load.shapes import SHAPES

WEB_PORT = 8089
QUICK_S = 5


def add(verbs: Verbs) -> None:
    """The verb's arguments."""
    verb = verbs.add_parser(
        "load",
        help="users of locust, on its own page or headless",
        description="Open locust's page with users that speak our client, or run them headless and write one "
        "JSON. The server is the one that runs (`python -m serving start`), else one of our own.",
    )
    verb.add_argument("--url", help="a running server (default: the one that runs here, else start one)")
    verb.add_argument("--pipeline", action="append", help="may be repeated (default: all that are served)")
    verb.add_argument("--users", type=int, default=8, help="at most (default: %(default)s)")
    verb.add_argument("--run-s", type=int, default=60, help="of a headless run (default: %(default)s)")
    verb.add_argument(
        "--think-s", type=float, default=1.0, help="mean pause of a user (default: %(default)s)"
    )
    verb.add_argument("--shape", choices=("plain", *SHAPES), default="plain", help="of a headless run")
    verb.add_argument("--complete", action="store_true", help="send every modality always")
    verb.add_argument("--workers", type=int, default=1, help="processes of locust (default: %(default)s)")
    verb.add_argument("--headless", action="store_true", help="no page; write the statistics and stop")
    verb.add_argument("--quick", action="store_true", help=f"headless, {QUICK_S} s, two users")
    verb.add_argument("--web-port", type=int, default=WEB_PORT, help="of the page (default: %(default)s)")
    verb.add_argument("--seed", type=int, default=7, help="default: %(default)s")
    verb.add_argument("--out", type=Path, default=BUILD / "load.json", help="default: %(default)s")


def run(chosen: argparse.Namespace) -> Done:
    """Let locust run, write JSON; fails if nothing was answered.

    raises: RuntimeError when locust is not installed or ends without statistics
    """
    from benchmarks import stages
    from benchmarks.load import locust_run

    facts = record.circumstances(chosen.seed) | {"verb": "load", "quick": chosen.quick}
    locust_run.check_installed()
    stages.welds(None, chosen.seed, BUILD)  # written where the users look for them
    with ExitStack() as own:
        url, served = locust_run.server(own, chosen.url, chosen.pipeline)
        session = locust_run.session(chosen, url, served, BUILD / f"runs-{chosen.seed}")
        result = locust_run.measure(session, chosen.out.with_suffix(".locust.json"))
    path = record.write(chosen.out, facts | {"result": result})
    answered = sum(one["requests"] - one["failures"] for one in result["rows"])
    return Done(path, [] if answered or not session.headless else ["locust: expected answers, got none"])
