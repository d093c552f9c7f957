"""python -m benchmarks stages: measure a server, write one JSON, print its path.

Exit status: 0 done, 1 failed, 2 mistyped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from crossfuse import CrossfuseError

import serving
from benchmarks import record, stages

BUILD = Path("build/benchmarks")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one measurement."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split(":")[0])
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="verb")
    verb = verbs.add_parser("stages", help="where the time of one request goes", description=stages.__doc__)
    verb.add_argument("--url", help="a running server (default: start one)")
    verb.add_argument("--welds", type=Path, help="folder of weld runs (default: twelve simulated ones)")
    verb.add_argument("--requests", type=int, default=100, help="default: %(default)s")
    verb.add_argument("--seed", type=int, default=7, help="of the simulated runs (default: %(default)s)")
    verb.add_argument("--out", type=Path, default=BUILD / "stages.json", help="default: %(default)s")
    chosen = parser.parse_args(arguments)
    if chosen.requests < 1:
        parser.error(f"--requests: expected at least 1, got {chosen.requests}")
    try:
        print(run(chosen))
    except (OSError, ValueError, RuntimeError, CrossfuseError) as error:
        print(f"benchmarks {chosen.verb}: {error}", file=sys.stderr)
        return 1
    return 0


def run(chosen: argparse.Namespace) -> Path:
    """Measure against the given server or against one of our own; returns the result's path."""
    facts = record.circumstances(chosen.seed)
    requests = stages.welds(chosen.welds, chosen.seed, BUILD)
    with ExitStack() as own:
        url = chosen.url or own.enter_context(serving.running()).grpc
        result = stages.measure(url, requests, chosen.requests)
    print(stages.table(result), file=sys.stderr)
    return record.write(chosen.out, facts | {"result": result})


if __name__ == "__main__":
    sys.exit(main())
