"""The verbs of `python -m serving` for containers: `container`, what an image runs, and `warm-up`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving import control
from serving.container import TRITON
from serving.server import ports_around
from serving.state import STATE_FOLDER

if TYPE_CHECKING:
    from serving import first_start

MODELS, ENGINES = Path("/models"), Path("/engines")  # the volumes of the image
TARGETS = ("gpu", "cpu")


def add_to(verbs: Any, port: Callable[[str], int]) -> None:
    """Add the verbs; port: how a gRPC port is read."""
    summary = "in NVIDIA's container: build the engines that this GPU lacks, then serve until told to stop"
    command = verbs.add_parser("container", help=summary, description=summary)
    command.set_defaults(verb=container)
    command.add_argument("--state", type=Path, default=STATE_FOLDER, metavar="FOLDER", help="state and logs")
    command.add_argument("--target", choices=TARGETS, default="gpu", help="default: %(default)s")
    command.add_argument("--pipeline", action="append", metavar="NAME", help="default: those exported")
    command.add_argument(
        "--repository", type=Path, default=MODELS, metavar="DIR", help="default: %(default)s"
    )
    command.add_argument(
        "--engines", type=Path, default=ENGINES, metavar="DIR", help="cache of plans (default: %(default)s)"
    )
    command.add_argument(
        "--triton", type=Path, default=TRITON, metavar="DIR", help="the image's server (default: %(default)s)"
    )
    command.add_argument("--host", default="0.0.0.0", help="address to listen on (default: %(default)s)")
    command.add_argument(
        "--port", type=port, default=8001, help="of gRPC; HTTP one below, metrics one above; 0: free ones"
    )
    command.add_argument(
        "--timeout-s", type=float, default=600.0, help="of one start (default: %(default).0f)"
    )
    summary = "write the tensors that TensorRT engines are warmed up with"
    command = verbs.add_parser("warm-up", help=summary, description=summary)
    command.set_defaults(verb=warm_up, state=STATE_FOLDER)
    command.add_argument("--repository", type=Path, default=control.REPOSITORY, metavar="DIR")
    command.add_argument("--pipeline", action="append", metavar="NAME", help="default: those exported")


def container(arguments: argparse.Namespace) -> int:
    """Prepare, then supervise a server in this process; returns its exit status."""
    from serving import first_start, supervisor  # here: `--help` needs no builder of plans

    repository = arguments.repository
    if not repository.is_dir():
        raise ValueError(
            f"{repository}: expected the folder or volume of the models, found none; mount one there, or "
            "pass --repository (outside a container `python -m serving start` is what you want)"
        )
    on_gpu = arguments.target == "gpu"
    builder = first_start.tensorrt_builder(arguments.engines) if on_gpu else None
    changed = first_start.seed(control.REPOSITORY, repository)
    say(f"{repository}: {len(changed)} configurations brought up to date")
    if builder:
        prepare(arguments, builder)
    pipelines = tuple(arguments.pipeline or control.default_pipelines(repository, arguments.target)[0])
    if on_gpu:
        say(f"{len(first_start.serialise(repository, pipelines))} DALI pipelines serialised")
        write_warm_up(repository, pipelines)
    wanted = control.options(
        pipelines,
        repository,
        ports_around(arguments.port),
        arguments.host,
        arguments.target,
        arguments.triton,
    )
    control.clear(arguments.state)
    control.check(wanted)
    supervisor.configure_log()
    return supervisor.supervise(wanted, arguments.state, arguments.timeout_s)


def prepare(arguments: argparse.Namespace, builder: first_start.Builder) -> None:
    """Bring every plan into place that has a graph, and say how many had to be built."""
    from serving import first_start

    repository = arguments.repository
    there = arguments.pipeline or [name for name in control.PIPELINES if (repository / name).is_dir()]
    wanted = first_start.needed(repository, there, builder)
    built = first_start.bring(wanted, arguments.engines, builder, repository, say)
    say(f"{len(wanted)} plans for {builder.device}, {built} of them built now")


def warm_up(arguments: argparse.Namespace) -> int:
    """Write the warm-up files that are missing."""
    pipelines = arguments.pipeline or control.default_pipelines(arguments.repository, "gpu")[0]
    write_warm_up(arguments.repository, tuple(pipelines))
    return 0


def write_warm_up(repository: Path, pipelines: tuple[str, ...]) -> None:
    """Write what is missing for these pipelines, and say how much that was."""
    from serving import warm_up as rows

    say(f"{len(rows.write(repository, pipelines))} warm-up files written")


def say(text: str) -> None:
    """A line of progress."""
    sys.stderr.write(f"serving: {text}\n")
    sys.stderr.flush()
