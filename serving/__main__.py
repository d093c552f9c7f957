"""Run the model repository on Triton.

    python -m serving start [--foreground] [--port 8001] [--pipeline weld_inspection] ...
    python -m serving status
    python -m serving logs [--follow]
    python -m serving stop
    python -m serving container [--target gpu|cpu]      # what the image runs; docs/deployment.md
    python -m serving warm-up                           # tensors of a real request for TensorRT's warm-up
    python -m serving release prepare|check|flip|watch|rollback|retire|status|log ... weld_inspection

Progress goes to stderr, the result to stdout. Exit status: 0 done, 1 failed or not running, 2 mistyped,
130 interrupted.
"""

import argparse
import sys
import time
from pathlib import Path

from serving import container_verbs, control, state
from serving.releases import commands
from serving.server import HOST, ports_around

GRPC_PORT = 8001


def main(argv: list[str] | None = None) -> int:
    """Parse the command line and run one verb."""
    arguments = parser().parse_args(argv)
    arguments.state = arguments.state.resolve()
    try:
        return arguments.verb(arguments)
    except (RuntimeError, ValueError, OSError) as error:
        print(f"serving: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("serving: interrupted", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """The command line: one verb each, `--state` for all."""
    top = argparse.ArgumentParser(
        prog="python -m serving", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = top.add_subparsers(
        required=True, metavar="start | status | logs | stop | container | warm-up | release"
    )
    for verb, summary in (
        (start, "start a supervised server, wait until it is ready, print its gRPC address"),
        (status, "print what is ready, and the restarts; 1 when no server runs"),
        (logs, "print the end of the supervisor's and the server's log"),
        (stop, "stop the server; nothing to do is fine"),
    ):
        command = verbs.add_parser(verb.__name__, help=summary, description=summary)
        command.set_defaults(verb=verb)
        command.add_argument(
            "--state",
            type=Path,
            default=state.STATE_FOLDER,
            metavar="FOLDER",
            help="folder of the server's state and logs; one server each (default: build/serving)",
        )
        if verb is start:
            add_start_options(command)
        if verb is logs:
            command.add_argument("--lines", type=int, default=40, help="of each log (default: %(default)s)")
            command.add_argument("--follow", action="store_true", help="go on until Ctrl-C")
    container_verbs.add_to(verbs, port)
    commands.add_to(verbs)
    return top


def add_start_options(command: argparse.ArgumentParser) -> None:
    """Options of `start`."""
    command.add_argument("--foreground", action="store_true", help="supervise in this terminal until Ctrl-C")
    command.add_argument(
        "--port",
        type=port,
        default=GRPC_PORT,
        help="of gRPC; HTTP listens one below, metrics one above; 0 takes free ones (default: %(default)s)",
    )
    command.add_argument("--host", default=HOST, help="address to listen on (default: %(default)s)")
    command.add_argument(
        "--pipeline",
        action="append",
        metavar="NAME",
        help="ensemble to serve, may be repeated (default: those exported of "
        f"{', '.join(control.PIPELINES)})",
    )
    command.add_argument(
        "--repository",
        type=Path,
        default=control.REPOSITORY,
        help="default: model_repository of this checkout",
    )
    command.add_argument(
        "--timeout-s", type=float, default=180.0, help="how long a start may take (default: %(default).0f)"
    )


def port(text: str) -> int:
    """A gRPC port that leaves room for its two neighbours, or 0."""
    value = int(text)
    if value != 0 and not 2 <= value <= 65534:
        raise argparse.ArgumentTypeError(f"expected 0 or 2 to 65534, got {value}")
    return value


def start(arguments: argparse.Namespace) -> int:
    """Start, or say where the one that runs already answers."""
    running = control.address(arguments.state)
    pipelines, others = tuple(arguments.pipeline or ()), tuple[str, ...]()
    if not pipelines:
        pipelines, others = control.default_pipelines(arguments.repository)
    if running is not None and running.state().phase == "ready":
        absent = sorted(set(pipelines) - set(running.state().pipelines))
        if absent:
            raise RuntimeError(
                f"{', '.join(absent)}: the server that runs serves {', '.join(running.state().pipelines)}; "
                "stop it first, or give this one a --state and a --port of its own"
            )
        print(f"serving: already running since {running.state().started}", file=sys.stderr)
        print(running.grpc)
        return 0
    for sentence in others:
        print(f"serving: {sentence} to serve it too", file=sys.stderr)
    ports = ports_around(arguments.port)
    wanted = control.options(pipelines, arguments.repository, ports, arguments.host)
    if arguments.foreground:
        from serving import supervisor

        control.clear(arguments.state)
        control.check(wanted)
        supervisor.configure_log()
        return supervisor.supervise(wanted, arguments.state, arguments.timeout_s)
    address = control.start(wanted, arguments.state, arguments.timeout_s, Display())
    print(f"serving: {', '.join(pipelines)}; HTTP {address.http}, metrics {address.metrics}", file=sys.stderr)
    print(address.grpc)
    return 0


def status(arguments: argparse.Namespace) -> int:
    """A table of models, and what the supervisor saw."""
    address = control.address(arguments.state)
    if address is None:
        last = state.read(arguments.state)
        reason = f"; the last one {last.phase}{': ' + last.error if last.error else ''}" if last else ""
        print(f"serving: not running{reason}; `python -m serving start` starts one", file=sys.stderr)
        return 1
    now = address.state()
    ready = control.readiness(now)
    width = max(len(name) for name in ready)
    for name, is_ready in ready.items():
        print(f"{name:{width}}  {'ready' if is_ready else 'not ready'}")
    print(f"{now.phase} at {address.grpc}, started {now.started}, {now.restarts} restarts")
    if now.last_crash:
        print(f"last crash: {now.last_crash}")
    return 0


def logs(arguments: argparse.Namespace) -> int:
    """The supervisor's few lines, then the end of the server's."""
    supervisor, server = arguments.state / "supervisor.log", arguments.state / "server.log"
    if not server.exists():
        raise RuntimeError(f"{arguments.state}: expected the logs of a server, found none; start one")
    for file in (supervisor, server):
        lines = file.read_text(errors="replace").splitlines() if file.exists() else []
        print(f"==> {file}")
        print("\n".join(lines[-max(arguments.lines, 0) :] if arguments.lines else []))
    if arguments.follow:
        with server.open(errors="replace") as text:
            text.seek(0, 2)
            while True:
                print(text.read(), end="", flush=True)
                time.sleep(0.5)
    return 0


def stop(arguments: argparse.Namespace) -> int:
    """Stop; a server that is not there is stopped already."""
    was_running = control.stop(arguments.state)
    print(f"serving: {'stopped' if was_running else 'nothing was running'}", file=sys.stderr)
    return 0


class Display:
    """One line on stderr that is rewritten on a terminal, and written once per change elsewhere."""

    def __init__(self) -> None:
        self._last = -1

    def __call__(self, elapsed_s: float, ready: int, total: int) -> None:
        """Show how far a start has come."""
        text = f"serving: starting, {elapsed_s:.0f} s, {ready} of {total} models ready"
        if sys.stderr.isatty():
            print(f"\r{text} ", end="\n" if ready == total else "", file=sys.stderr, flush=True)
        elif ready != self._last:
            print(text, file=sys.stderr, flush=True)
        self._last = ready


if __name__ == "__main__":
    sys.exit(main())
