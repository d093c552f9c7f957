"""The verb `accuracy`: how many questions of a test split are answered right through a server."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import record
from benchmarks.commands.arguments import BUILD, Done, Verbs, above_zero, say, served

PIPELINES = ("vision_language", "visual_question_answering")


def add(verbs: Verbs) -> None:
    """The verb's arguments."""
    verb = verbs.add_parser(
        "accuracy",
        help="how many questions of a test split are answered right through a server",
        description="Ask the served pipeline the official test split of easy-VQA, ask PyTorch the same, and "
        "set both beside controls that look at another picture or at none. Fails when the two lie more than "
        "0.2 points apart.",
    )
    verb.add_argument("pipeline", choices=PIPELINES)
    verb.add_argument(
        "--every", type=above_zero(int), default=1, metavar="N", help="ask every N-th question only"
    )
    verb.add_argument("--url", help="a running server (default: start one)")
    verb.add_argument("--preset", help="what the server runs (default: PIPELINE_small)")
    verb.add_argument("--weights", type=Path, help="that it was exported from (default: weights/PRESET)")
    verb.add_argument("--out", type=Path, help=f"default: {BUILD}/accuracy_PIPELINE.json")


def run(chosen: argparse.Namespace) -> Done:
    """Measure and write JSON; a goal that is missed is a figure, a server unlike PyTorch a failure."""
    from benchmarks import accuracy

    pipeline, preset = chosen.pipeline, chosen.preset or f"{chosen.pipeline}_small"
    weights = chosen.weights or accuracy.WEIGHTS / f"{preset}.safetensors"
    facts = record.circumstances(accuracy.SEED)
    with served(chosen.url, [pipeline]) as url:
        result = accuracy.measure(url, pipeline, preset, weights, chosen.every)
    say(accuracy.table(result))
    path = chosen.out or BUILD / f"accuracy_{pipeline}.json"
    return Done(record.write(path, facts | {"result": result}), accuracy.faults(result))
