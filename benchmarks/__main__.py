"""python -m benchmarks VERB: measure a server or a GPU, write one JSON, print its path.

Exit status: 0 done, 1 failed or a promise was not kept, 2 mistyped, or a GPU check without a GPU, 130 and
143 interrupted and terminated, with every server that it started stopped.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from benchmarks.commands import COMMANDS, Mistyped, say


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one measurement."""
    parser = make_parser()
    chosen = parser.parse_args(arguments)
    try:
        done = COMMANDS[chosen.verb].run(chosen)
    except Mistyped as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        say(f"benchmarks {chosen.verb}: interrupted; no result was written")
        return 128 + signal.SIGINT
    except Exception as error:
        if not isinstance(error, (OSError, ValueError, RuntimeError, LookupError, *_client_errors())):
            raise  # a fault of ours: with its traceback
        say(f"benchmarks {chosen.verb}: {error}")
        return 1
    for fault in done.faults:
        say(f"benchmarks {chosen.verb}: {fault}")
    print(done.path)
    return done.status


def make_parser() -> argparse.ArgumentParser:
    """Every measurement and its arguments."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").split(":")[0])
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for command in COMMANDS.values():
        command.add(verbs)
    return parser


def _client_errors() -> tuple[type[Exception], ...]:
    """What the client raises; looked up when something was raised: a GPU check runs without a client."""
    try:
        from crossfuse import CrossfuseError
    except ImportError:
        return ()
    return (CrossfuseError,)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that servers are stopped
    sys.exit(main())
