"""python -m benchmarks VERB: measure a server or a GPU, write one JSON, print its path.

Exit status: 0 done, 1 failed or a promise was not kept, 2 mistyped, or a GPU check without a GPU.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import record
from benchmarks.gpu_check import command as gpu_check

if TYPE_CHECKING:
    from serving import Address

BUILD = Path("build/benchmarks")
QUICK = {"flips": 4, "blocks": 2, "steady_s": 3.0}
QUICK_CONTENTS = 2
QUICK_ROUNDS = 3
STAGES = "Triton's own statistics per model, for requests sent one after another by a single client."
ACCURACY_PIPELINES = ("vision_language", "visual_question_answering")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one measurement."""
    parser = make_parser()
    chosen = parser.parse_args(arguments)
    if chosen.verb == "swap":
        _check_swap(parser, chosen)
    elif chosen.verb == "stages" and chosen.requests < 1:
        parser.error(f"--requests: expected at least 1, got {chosen.requests}")
    elif chosen.verb == "accuracy" and chosen.every < 1:
        parser.error(f"--every: expected at least 1, got {chosen.every}")
    elif chosen.verb == "gpu-check":
        status = gpu_check.run(chosen, _say)
        print(chosen.out)
        return status
    from crossfuse import CrossfuseError  # here: a GPU check runs where no client is installed

    run = {
        "stages": run_stages,
        "swap": run_swap,
        "ladder": run_ladder,
        "accuracy": run_accuracy,
        "engines": run_engines,
    }[chosen.verb]
    try:
        path, faults = run(chosen)
    except (OSError, ValueError, RuntimeError, LookupError, CrossfuseError) as error:
        _say(f"benchmarks {chosen.verb}: {error}")
        return 1
    for fault in faults:
        _say(f"benchmarks {chosen.verb}: {fault}")
    print(path)
    return 1 if faults else 0


def make_parser() -> argparse.ArgumentParser:
    """Every measurement and its arguments."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").split(":")[0])
    kinds = "stages|swap|ladder|accuracy|engines|gpu-check"
    verbs = parser.add_subparsers(dest="verb", required=True, metavar=kinds)
    verb = verbs.add_parser("stages", help="where the time of one request goes", description=STAGES)
    verb.add_argument("--url", help="a running server (default: start one)")
    verb.add_argument("--welds", type=Path, help="folder of weld runs (default: twelve simulated ones)")
    verb.add_argument("--requests", type=int, default=100, help="default: %(default)s")
    verb.add_argument("--seed", type=int, default=7, help="of the simulated runs (default: %(default)s)")
    verb.add_argument("--out", type=Path, default=BUILD / "stages.json", help="default: %(default)s")
    _add_swap(verbs)
    _add_ladder(verbs)
    _add_accuracy(verbs)
    _add_engines(verbs)
    gpu_check.add(verbs)
    return parser


def _add_swap(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verb = verbs.add_parser(
        "swap",
        help="flip and roll back a set of models under traffic, and look at every answer",
        description="Flip and roll back a set of at least three models under open-loop traffic. Fails unless "
        "there are no errors, no answer from a mixture of sets, a median below 50 ms and no latency above "
        "twice the steady p99.",
    )
    verb.add_argument("--flips", type=int, metavar="N", help="and as many rollbacks (default: 50)")
    verb.add_argument(
        "--every-s", type=float, default=0.7, help="from one to the next (default: %(default)s)"
    )
    verb.add_argument(
        "--steady-s", type=float, help="of plain traffic around each block of flips (default: 10)"
    )
    verb.add_argument("--rate", type=float, metavar="HZ", help="default: 40 %% of what the server can do")
    verb.add_argument("--set", type=Path, metavar="DIR", help="engines to flip to (default: some are made)")
    verb.add_argument("--url", help="a running server of yours, with --repository (default: start one)")
    verb.add_argument("--repository", type=Path, metavar="DIR", help="what that server reads; it is changed")
    verb.add_argument("--quick", action="store_true", help="4 flips, and only the answers are judged")
    verb.add_argument("--naive", action="store_true", help="also reload the models one after another")
    verb.add_argument("--seed", type=int, default=7, help="of welds, noise, requests (default: %(default)s)")
    verb.add_argument("--out", type=Path, default=BUILD / "swap.json", help="default: %(default)s")


def _add_ladder(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verb = verbs.add_parser(
        "ladder",
        help="whether the quality of a video falls as its compression rises",
        description="Compress every held-out clip harder and harder with three codecs, ask the served "
        "video_quality for each, and count the pairs of one ladder that it puts in the right order.",
    )
    verb.add_argument("--url", help="a running server (default: start one)")
    verb.add_argument("--quick", action="store_true", help=f"one clip of each of {QUICK_CONTENTS} contents")
    verb.add_argument("--out", type=Path, default=BUILD / "ladder.json", help="default: %(default)s")


def _add_accuracy(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verb = verbs.add_parser(
        "accuracy",
        help="how many questions of a test split are answered right through a server",
        description="Ask the served pipeline the official test split of easy-VQA, ask PyTorch the same, and "
        "set both beside controls that look at another picture or at none. Fails when the two lie more than "
        "0.2 points apart.",
    )
    verb.add_argument("pipeline", choices=ACCURACY_PIPELINES)
    verb.add_argument("--every", type=int, default=1, metavar="N", help="ask every N-th question only")
    verb.add_argument("--url", help="a running server (default: start one)")
    verb.add_argument("--preset", help="what the server runs (default: PIPELINE_small)")
    verb.add_argument("--weights", type=Path, help="that it was exported from (default: weights/PRESET)")
    verb.add_argument("--out", type=Path, help=f"default: {BUILD}/accuracy_PIPELINE.json")


def _add_engines(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verb = verbs.add_parser(
        "engines",
        help="what one request costs in the networks alone, by engine and precision",
        description="Run the engines of a preset on the CPU, without a server, by ONNX Runtime and OpenVINO "
        "in fp32 and bf16 and as configured, in rounds that take turns.",
    )
    verb.add_argument("preset", help="such as weld_small; its engines have to be exported")
    verb.add_argument("--engines", type=Path, metavar="DIR", help="of `export --out` (default: version 1)")
    verb.add_argument("--threads", type=int, default=0, help="of each engine (default: all cores)")
    verb.add_argument("--rounds", type=int, default=60, help="default: %(default)s")
    verb.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds")
    verb.add_argument("--out", type=Path, help=f"default: {BUILD}/engines_PRESET.json")


def _check_swap(parser: argparse.ArgumentParser, chosen: argparse.Namespace) -> None:
    for name in ("flips", "every_s", "steady_s", "rate"):
        value = getattr(chosen, name)
        if value is not None and value <= 0:
            parser.error(f"--{name.replace('_', '-')}: expected a number above 0, got {value}")
    if (chosen.url is None) != (chosen.repository is None):
        parser.error("--url and --repository: expected both or neither, got one; a release changes both")


def run_stages(chosen: argparse.Namespace) -> tuple[Path, list[str]]:
    """Measure against the given server or against one of our own; returns the result's path."""
    from benchmarks import stages  # here, as below: its imports cost seconds elsewhere

    facts = record.circumstances(chosen.seed)
    requests = stages.welds(chosen.welds, chosen.seed, BUILD)
    with ExitStack() as own:
        url = chosen.url or own.enter_context(_server([stages.PIPELINE])).grpc
        result = stages.measure(url, requests, chosen.requests)
    _say(stages.table(result))
    return record.write(chosen.out, facts | {"result": result}), []


def run_swap(chosen: argparse.Namespace) -> tuple[Path, list[str]]:
    """Measure, write JSON, every request (.npz) and the picture; returns the path and the broken promises."""
    from benchmarks import swap, swap_picture  # here: a second of imports that `stages` need not pay
    from benchmarks.flips import Plan

    facts = record.circumstances(chosen.seed)
    asked = {name: value for name in ("flips", "steady_s") if (value := getattr(chosen, name)) is not None}
    plan = Plan(**(QUICK if chosen.quick else {}) | asked | {"every_s": chosen.every_s, "seed": chosen.seed})
    server = (chosen.url, chosen.repository.resolve()) if chosen.url else None
    work = BUILD / "swap"
    outcome = swap.run(swap.Request(work, plan, chosen.set, server, chosen.rate, chosen.naive))
    faults = swap.faults(outcome.result, answers_only=chosen.quick)
    _say(swap.table(outcome.result))
    outcome.recorded.save(chosen.out.with_suffix(".npz"), labels=outcome.labels)
    swap_picture.draw(outcome, chosen.out.with_suffix(".png"))
    return record.write(chosen.out, facts | {"faults": faults, "result": outcome.result}), faults


def run_ladder(chosen: argparse.Namespace) -> tuple[Path, list[str]]:
    """Measure, write JSON and the picture; a goal that is missed is a figure, not a failure."""
    from benchmarks import ladder, ladder_picture, rungs  # here: OpenCV and SciPy cost seconds elsewhere

    facts = record.circumstances(seed=None)
    sources = rungs.held_out()
    sources = rungs.first_of_each(sources, QUICK_CONTENTS) if chosen.quick else sources
    with ExitStack() as own:
        url = chosen.url or own.enter_context(_server([ladder.PIPELINE])).grpc
        scored, fusion = ladder.measure(url, sources, BUILD / "ladder")
    result = ladder.figures(scored)
    _say(ladder.table(result))
    ladder_picture.draw(scored, result, chosen.out.with_suffix(".png"))
    return record.write(chosen.out, facts | {"fusion": fusion, "result": result}), []


def run_accuracy(chosen: argparse.Namespace) -> tuple[Path, list[str]]:
    """Measure and write JSON; a goal that is missed is a figure, a server unlike PyTorch a failure."""
    from benchmarks import accuracy  # here: the client's and PyTorch's imports cost seconds elsewhere

    pipeline, preset = chosen.pipeline, chosen.preset or f"{chosen.pipeline}_small"
    weights = chosen.weights or accuracy.WEIGHTS / f"{preset}.safetensors"
    facts = record.circumstances(accuracy.SEED)
    with ExitStack() as own:
        url = chosen.url or own.enter_context(_server([pipeline])).grpc
        result = accuracy.measure(url, pipeline, preset, weights, chosen.every)
    _say(accuracy.table(result))
    path = chosen.out or BUILD / f"accuracy_{pipeline}.json"
    return record.write(path, facts | {"result": result}), accuracy.faults(result)


def run_engines(chosen: argparse.Namespace) -> tuple[Path, list[str]]:
    """Measure and write JSON; how fast an engine is, is a figure."""
    from benchmarks import engines  # here: the engines' imports cost seconds elsewhere

    facts = record.circumstances(engines.SEED)
    rounds = QUICK_ROUNDS if chosen.quick else chosen.rounds
    result = engines.measure(chosen.preset, engines.Plan(rounds, chosen.threads, chosen.engines))
    _say(engines.table(result))
    path = chosen.out or BUILD / f"engines_{chosen.preset}.json"
    return record.write(path, facts | {"result": result}), []


def _server(pipelines: list[str]) -> AbstractContextManager[Address]:
    """A server of our own; imported here, since other verbs need none."""
    import serving

    return serving.running(pipelines)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
