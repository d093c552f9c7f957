"""What the commands share: the arguments of a served pipeline, what they begin with, and how one ends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from benchmarks import record
from benchmarks.workloads import WORKLOADS, Workload, workload

if TYPE_CHECKING:
    from benchmarks import goodput

BUILD = Path("build/benchmarks")
REPOSITORY = record.ROOT / "model_repository"
PIPELINES = tuple(WORKLOADS)

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


@dataclass(frozen=True)
class Done:
    """How a command ended: the file with its figures, a sentence per broken promise, the exit status."""

    path: Path
    faults: Sequence[str] = field(default=())
    exit_status: int | None = None

    @property
    def status(self) -> int:
        """1 for a broken promise, unless the command has more to tell."""
        return int(bool(self.faults)) if self.exit_status is None else self.exit_status


class Mistyped(ValueError):
    """Arguments that do not go together: exit status 2."""


def above_zero(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """The type of an argument that is a number above zero."""

    def number(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = 0
        if value <= 0:
            raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
        return value

    return number


def add_served(verb: argparse.ArgumentParser, name: str, quick: str, url: bool = True) -> None:
    """PIPELINE, --url, --quick, --seed and --out of a measurement of a served pipeline.

    quick: what its quick form is; url: whether a server that runs already can be measured
    """
    verb.add_argument(
        "pipeline",
        nargs="?",
        choices=PIPELINES,
        default=PIPELINES[0],
        metavar="PIPELINE",
        help="default: %(default)s",
    )
    if url:
        verb.add_argument("--url", help="a running server (default: start one)")
    verb.add_argument(
        "--quick", action="store_true", help=f"{quick}: proves the logic, its figures say nothing"
    )
    verb.add_argument("--seed", type=int, default=7, help="of payloads and arrivals (default: %(default)s)")
    verb.add_argument("--out", type=Path, help=f"default: {BUILD}/{name}_PIPELINE.json")


def add_times(verb: argparse.ArgumentParser, point_s: float = 60, repeats: int = 5) -> None:
    """--point-s and --repeats of a measurement whose defaults are those of a figure that may be quoted."""
    verb.add_argument(
        "--point-s",
        type=above_zero(float),
        help=f"seconds of each point (default: {point_s:g}; less with --quick)",
    )
    verb.add_argument("--repeats", type=above_zero(int), help=f"default: {repeats}; 1 with --quick")


def times_of(chosen: argparse.Namespace, quick: Mapping[str, Any]) -> dict[str, Any]:
    """What of a plan is not as by default: its quick form, and over it what was said."""
    said = {name: value for name in ("point_s", "repeats") if (value := getattr(chosen, name))}
    return {**(quick if chosen.quick else {}), **said}


def add_repository(verb: argparse.ArgumentParser) -> None:
    """--repository of a measurement that reads what the server reads."""
    verb.add_argument(
        "--repository", type=Path, metavar="DIR", default=REPOSITORY, help="models (default: the checkout's)"
    )


def out_of(chosen: argparse.Namespace) -> Path:
    """Where the result goes."""
    return chosen.out or BUILD / f"{chosen.verb}_{chosen.pipeline}.json"


def prepared(
    chosen: argparse.Namespace, pipeline: str = ""
) -> tuple[dict[str, Any], Workload, list[dict[str, Any]]]:
    """The head of the result, the workload, and its requests; pipeline: of a verb that takes none.

    The head comes first: the machine is not yet at work for us when it says how busy that is.
    """
    name = pipeline or chosen.pipeline
    facts = record.circumstances(chosen.seed) | {"pipeline": name, "quick": chosen.quick}
    work = workload(name)
    return facts, work, work.payloads(chosen.seed, BUILD)


def search_of(chosen: argparse.Namespace) -> goodput.Plan:
    """How the goodput is searched."""
    from benchmarks import goodput

    return goodput.Plan(**times_of(chosen, goodput.QUICK), seed=chosen.seed)


@contextmanager
def served(url: str | None, pipelines: list[str], repository: Path = REPOSITORY) -> Iterator[str]:
    """Where a server with these pipelines answers: at `url`, or one of our own."""
    if url:
        yield url
        return
    import serving  # here: other verbs need none

    with serving.running(pipelines, repository) as address:
        yield address.grpc


def say(text: str) -> None:
    """To the terminal; the result's path alone goes to stdout."""
    sys.stderr.write(f"{text}\n")
