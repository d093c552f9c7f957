"""`python -m training <verb>`: make weld runs or clips of known quality, train on them, judge the result."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from multimodal.weld_classes import CLASS_NAMES
from training.trainings import training_of
from training.weld_runs import generate
from training.workplace import Workplace

BUILD = Path("build")


def _add_generate(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("root", type=Path, help="new or empty folder for the runs")
    verb.add_argument(
        "--runs-per-class", type=int, default=150, help="runs of each of the 12 classes (default 150)"
    )
    verb.add_argument(
        "--classes",
        nargs="+",
        choices=CLASS_NAMES,
        default=CLASS_NAMES,
        metavar="CLASS",
        help="only these classes",
    )
    verb.add_argument("--seed", type=int, default=0, help="the same seed writes the same runs (default 0)")
    verb.add_argument("--workers", type=int, default=2, help="processes (default 2)")


def _generate(arguments: argparse.Namespace) -> str:
    """Write simulated weld runs; the result is their root."""
    runs = {CLASS_NAMES.index(name): arguments.runs_per_class for name in arguments.classes}
    return str(generate(arguments.root, runs, arguments.seed, arguments.workers))


def _add_clips(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("root", type=Path, help="folder for the clips; a second call goes on where one ended")
    verb.add_argument("--contents", nargs="+", default=(), metavar="NAME", help="only these contents")
    verb.add_argument("--levels", type=int, default=3, help="clips of each distortion a source (default 3)")
    verb.add_argument("--mixed", type=int, default=7, help="clips with two at once a source (default 7)")
    verb.add_argument(
        "--sources", type=Path, metavar="FOLDER", help="good films of yours beside the built-in"
    )
    verb.add_argument("--seed", type=int, default=0, help="the same seed distorts the same way (default 0)")
    verb.add_argument("--workers", type=int, default=2, help="processes (default 2)")


def _clips(arguments: argparse.Namespace) -> str:
    """Distort good sources and score every clip with VMAF; the result is the root."""
    from training.quality_clips import Amount, generate

    amount = Amount(arguments.levels, arguments.mixed, tuple(arguments.contents))
    return str(generate(arguments.root, arguments.seed, arguments.sources, amount, arguments.workers))


def _add_train(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("preset", help="weld_small, video_quality_small ...")
    verb.add_argument(
        "--root", type=Path, help="recordings to train on (default: some of our own, made when needed)"
    )
    verb.add_argument(
        "--work", type=Path, help="decoded recordings, finished encoders; a second call goes on from here"
    )
    verb.add_argument("--weights", type=Path, default=Path("weights"), help="folder for weights and card")


def _place(arguments: argparse.Namespace) -> Workplace:
    work = arguments.work or BUILD / "training" / arguments.preset
    return Workplace(work, arguments.weights, arguments.root)


def _train(arguments: argparse.Namespace) -> str:
    """Train a preset, evaluate it, write weights and card; the result is the weights' path."""
    return str(training_of(arguments.preset).train(arguments.preset, _place(arguments)))


def _evaluate(arguments: argparse.Namespace) -> str:
    """Judge the weights in the weights folder again and rewrite their card; the result is its path."""
    return str(training_of(arguments.preset).evaluate(arguments.preset, _place(arguments)))


# verb -> what --help says, its arguments, its function (returns the one line for stdout)
VERBS: dict[
    str, tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], str]]
] = {
    "generate": ("write simulated weld runs in the public data set's layout", _add_generate, _generate),
    "clips": ("write clips of known quality: distorted here, scored with VMAF", _add_clips, _clips),
    "train": ("train a preset, write its weights and its model card", _add_train, _train),
    "evaluate": ("judge the weights on held-out recordings again", _add_train, _evaluate),
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
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        print(f"training {chosen.verb}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
