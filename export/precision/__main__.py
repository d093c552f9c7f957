"""python -m export.precision PRESET --engines FOLDER: what each precision costs and buys, and what is chosen.

    python -m export weld_small --out build/weld
    python -m export.precision weld_small --engines build/weld                # for the CPU
    python -m export.precision weld_small --engines build/weld --target rtx   # judged here, built elsewhere

The table and progress go to stderr, the path of the record (JSON) to stdout.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from export.pipelines import PRESETS
from export.precision.candidates import CANDIDATES, possible
from export.precision.records import engines_of, searched
from export.precision.search import Found
from export.precision.tasks import task_of

ROOT = Path(__file__).parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    typed = _parser().parse_args(arguments)
    try:
        engines_of(typed.preset, typed.engines, typed.repository)  # before minutes go into the task's inputs
        task = task_of(typed.preset, typed.work, typed.items, typed.engines)
        found = searched(typed.preset, typed.engines, typed.repository, task, possible(typed.target))
    except (OSError, ValueError, LookupError, RuntimeError, ImportError) as error:
        print(f"export.precision: {error}", file=sys.stderr)
        return 1
    print(table(found), file=sys.stderr)
    path = typed.engines / f"precision_{typed.target}.json"
    path.write_text(json.dumps({model: found.record(model) for model in found.choices}, indent=1) + "\n")
    print(path)
    return 0 if found.together.ok else 1


def table(found: Found) -> str:
    """Every trial, one line each, for people; the chosen ones marked."""
    head = ("model", "precision", "apart", "in", "lost", "speed", "")
    lines = [head]
    for trial in (*found.trials, found.together):
        chosen = found.choices.get(trial.model) == trial.candidate
        lost = ", ".join(f"{name} {drop:+.4f}" for name, drop in trial.drops.items())
        speed = "-" if trial.speed is None else f"{trial.speed:.2f}x"
        remark = "; ".join(trial.faults) if trial.faults else ("chosen" if chosen else "ok")
        lines.append(
            (trial.model, str(trial.candidate), f"{trial.apart:.4f}", trial.worst, lost, speed, remark)
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export.precision",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("preset", choices=PRESETS, metavar="PRESET")
    parser.add_argument(
        "--engines", type=Path, required=True, metavar="FOLDER", help="of `python -m export --out`"
    )
    parser.add_argument("--target", choices=CANDIDATES, default="cpu")
    parser.add_argument("--repository", type=Path, default=ROOT / "model_repository", metavar="DIR")
    parser.add_argument("--work", type=Path, metavar="DIR", help="of the preset's training; its default")
    parser.add_argument("--items", type=int, metavar="N", help="judge on at most so many; a budget wants all")
    return parser


if __name__ == "__main__":
    sys.exit(main())
