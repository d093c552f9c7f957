"""Options of `python -m serving release`, each where it means something."""

from __future__ import annotations

import argparse
from pathlib import Path

from serving import state
from serving.releases.sequence import BASELINE_S, GOLDEN, WATCH_S
from serving.releases.store import whoami


def where(command: argparse.ArgumentParser) -> None:
    """Which server and repository; the same for every verb."""
    group = command.add_argument_group("where")
    address = "gRPC address (default: the supervised server's)"
    group.add_argument("--url", type=_address, metavar="HOST:PORT", help=address)
    group.add_argument("--repository", type=Path, metavar="FOLDER", help="that the server reads")
    group.add_argument("--target", choices=("cpu", "gpu"), help="default: as recorded, else cpu")
    group.add_argument("--metrics", metavar="URL", help="metrics page (default: the supervised server's)")
    group.add_argument(
        "--state",
        type=Path,
        default=state.STATE_FOLDER,
        metavar="FOLDER",
        help="folder of the supervised server's state (default: build/serving)",
    )
    group.add_argument("--by", default=whoami(), help="for the history (default: %(default)s)")


def source(command: argparse.ArgumentParser) -> None:
    """`--from`: the folder of a set."""
    command.add_argument(
        "--from",
        dest="source",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="engines as `python -m export PRESET --out FOLDER` writes them; one model or more",
    )


def why(command: argparse.ArgumentParser) -> None:
    """`--why`: a reason for the history."""
    command.add_argument("--why", default="", metavar="TEXT", help="for the history")


def force(command: argparse.ArgumentParser) -> None:
    """`--force`: go on without a passed check."""
    command.add_argument(
        "--force", default="", metavar="REASON", help="go on without a passed check; the reason is recorded"
    )


def number(command: argparse.ArgumentParser) -> None:
    """A release, or none for the newest that waits."""
    command.add_argument(
        "number", nargs="?", type=_positive, metavar="NUMBER", help="default: the newest that waits"
    )


def numbers(command: argparse.ArgumentParser) -> None:
    """Releases to retire, or none for all that nobody needs."""
    command.add_argument(
        "numbers",
        nargs="*",
        type=_positive,
        metavar="NUMBER",
        help="default: all but the live, the previous and those that wait",
    )
    command.add_argument("--delete", action="store_true", help="remove the files, too")


def golden(command: argparse.ArgumentParser) -> None:
    """`--golden`: where golden sets lie."""
    command.add_argument(
        "--golden",
        type=Path,
        default=GOLDEN,
        metavar="FOLDER",
        help="golden sets, as `python -m export golden` writes them (default: build/golden)",
    )


def baseline(command: argparse.ArgumentParser) -> None:
    """`--baseline-s`: how long to observe before a flip."""
    command.add_argument(
        "--baseline-s",
        type=_seconds,
        default=BASELINE_S,
        metavar="SECONDS",
        help="observe so long before, for `watch` to compare with (default: %(default).0f)",
    )


def watching(command: argparse.ArgumentParser) -> None:
    """`--seconds`: how long to watch after it."""
    command.add_argument(
        "--seconds", type=_seconds, default=WATCH_S, help="how long to watch (default: %(default).0f)"
    )


def as_json(command: argparse.ArgumentParser) -> None:
    """`--json`: for machines."""
    command.add_argument("--json", action="store_true", help="for machines")


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdecimal()):
        raise argparse.ArgumentTypeError(f"expected HOST:PORT of gRPC, such as 127.0.0.1:8001, got {text}")
    return text


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected the number of a release, such as 2, got {text}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected seconds, 0 or more, got {text}")
    return value
