"""The command `crossfuse`: results to stdout, everything else to stderr; exit 0, 1 (we failed) or 2
(mistyped)."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ._client import CLOSE_WAIT_S, Client
from ._errors import CrossfuseError
from ._options import OPTIONS, first_file, mistake, readable_file
from ._pipelines import PIPELINES
from ._presentations import PRESENTATIONS
from ._report import server_lines
from ._results import Answer
from ._transports import TLS

DEFAULT_URL = "127.0.0.1:8001"
INTERRUPTED = 130  # what a shell expects of a command that Ctrl-C ended


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    command = {"infer": infer, "status": status}[arguments.command]
    try:
        return command(arguments, parser)
    except CrossfuseError as error:
        note(f"crossfuse: {error}")
        return 1
    except KeyboardInterrupt:
        note("crossfuse: interrupted")
        return INTERRUPTED


def make_parser() -> argparse.ArgumentParser:
    """Every command and its arguments."""
    parser = argparse.ArgumentParser("crossfuse", description="Ask a crossfuse server about recordings.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="infer|status")
    ask = commands.add_parser("infer", help="send recordings to a pipeline and show its answer")
    ask.add_argument("pipeline", choices=PIPELINES, metavar="PIPELINE", help=", ".join(PIPELINES))
    for payload, option in OPTIONS.items():
        option.add_to(ask, payload)
    ask.add_argument("--strict", action="store_true", help="fail unless everything sent could be used whole")
    ask.add_argument("--picture", type=Path, metavar="PNG", help="draw the answer beside what was sent")
    ask.add_argument(
        "--title",
        metavar="TEXT",
        help="title of the picture (default: the recordings' folder, or the name of the one file)",
    )
    ask.add_argument(
        "--canary",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of the keys that a release on trial gets",
    )
    ask.add_argument("--key", metavar="TEXT", help="equal keys meet the same release (default: what is sent)")
    look = commands.add_parser("status", help="show whether the server and its pipelines are ready")
    for command in (ask, look):
        command.add_argument(
            "--url", default=DEFAULT_URL, help=f"host:port of the server (default {DEFAULT_URL})"
        )
        command.add_argument("--timeout-s", type=float, default=60.0, metavar="S", help="default 60")
        command.add_argument(
            "--tls-roots", type=readable_file, metavar="PEM", help="speak TLS, trusting these roots"
        )
        command.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return parser


def infer(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Ask a pipeline; show the answer and draw it if asked to."""
    payloads = chosen_payloads(arguments, parser)
    if arguments.picture:
        from ._picture import require_extra

        require_extra()  # before the server works for nothing
    client = connect(arguments, parser)
    try:
        answer = client.infer(arguments.pipeline, key=arguments.key, **payloads)
    finally:
        hang_up(client)
    lines = PRESENTATIONS[answer.pipeline].lines
    show(answer.as_dict() if arguments.json else lines(answer, bar_cell()))
    if arguments.picture:
        draw(arguments, payloads, answer)
    return 0


def chosen_payloads(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> dict[str, Any]:
    """The payloads; too many or too few for the pipeline are a mistyped command."""
    values = {payload: getattr(arguments, payload) for payload in OPTIONS}
    given = {payload: value for payload, value in values.items() if value is not None}
    if sentence := mistake(PIPELINES[arguments.pipeline], given):
        parser.error(f"infer: {sentence}")
    return given


def draw(arguments: argparse.Namespace, payloads: dict[str, Any], answer: Answer) -> None:
    """Write the picture beside the answer."""
    from ._picture import save_picture

    file = first_file(payloads)
    named = PRESENTATIONS[answer.pipeline].title(file.resolve()) if file else ""
    save_picture(arguments.picture, answer, payloads, title=arguments.title or named)
    note(f"picture: {arguments.picture}")


def status(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Show the server's state; 0 if it and every pipeline are ready, else 1."""
    client = connect(arguments, parser)
    try:
        server = client.status()
    finally:
        hang_up(client)
    show(server.as_dict() if arguments.json else server_lines(server))
    return 0 if server.ready and all(server.pipelines.values()) else 1


def connect(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> Client:
    """A client for the arguments given; what cannot be is a mistyped command."""
    tls = TLS(arguments.tls_roots) if arguments.tls_roots else None
    asking = {name: getattr(arguments, name) for name in ("strict", "canary") if hasattr(arguments, name)}
    try:
        return Client(arguments.url, timeout_s=arguments.timeout_s, tls=tls, **asking)
    except ValueError as error:
        parser.error(str(error))


def hang_up(client: Client) -> None:
    """Leave without cutting off a request that the server still works on, unless it takes too long."""
    if not client.close(0.0):
        note(f"crossfuse: waiting up to {CLOSE_WAIT_S:g} s for the server to finish its work")
        client.close(CLOSE_WAIT_S)


def bar_cell() -> str:
    """A block where the terminal can show one, else #."""
    try:
        "█".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "#"
    return "█"


def show(result: dict[str, Any] | list[str]) -> None:
    """The result, to stdout."""
    text = "\n".join(result) if isinstance(result, list) else json.dumps(result)
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Anything else, to stderr."""
    sys.stderr.write(text + "\n")
