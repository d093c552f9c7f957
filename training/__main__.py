"""`python -m training <verb>`: make weld runs, train on them, judge the result."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from training.weld_runs import generate


def _add_generate(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("root", type=Path, help="new or empty folder for the runs")
    verb.add_argument(
        "--runs-per-class", type=int, default=150, help="runs of each of the 12 classes (default 150)"
    )
    verb.add_argument("--seed", type=int, default=0, help="the same seed writes the same runs (default 0)")
    verb.add_argument("--workers", type=int, default=2, help="processes (default 2)")


def _generate(arguments: argparse.Namespace) -> str:
    """Write simulated weld runs; the result is their root."""
    return str(generate(arguments.root, arguments.runs_per_class, arguments.seed, arguments.workers))


# verb -> what --help says, its arguments, its function (returns the one line for stdout)
VERBS: dict[
    str, tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], str]]
] = {
    "generate": ("write simulated weld runs in the public data set's layout", _add_generate, _generate),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; 0 done, 1 it failed (one line on stderr), 2 mistyped."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="verb")
    for name, (summary, add_arguments, _) in VERBS.items():
        add_arguments(verbs.add_parser(name, help=summary, description=summary))
    chosen = parser.parse_args(arguments)
    try:
        print(VERBS[chosen.verb][2](chosen))
    except (OSError, ValueError) as error:
        print(f"training {chosen.verb}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
