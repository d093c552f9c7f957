"""The verb `gpu-check`: every part in turn, a table each, one JSON, whole after every part, and a picture.

Exit status: 0 all that could run is right; 1 an engine is outside its tolerance, does not build or does not
run; 2 nothing could be checked: no NVIDIA GPU, or no package that computes on it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import record
from benchmarks.gpu_check import absent_rows, decoding, engines, installed, machine, peaks, picture
from benchmarks.gpu_check.clock import first_line
from benchmarks.gpu_check.findings import BASE, PRECISIONS, SMALL, Finding, Plan, Skip, table

Run = Callable[[Plan, Mapping[str, Finding]], Finding]
PARTS: dict[str, tuple[Run, tuple[str, ...]]] = {
    "machine": (machine.run, machine.COLUMNS),
    "peak": (peaks.run, peaks.COLUMNS),
    "engines": (engines.run, engines.COLUMNS),
    "absent_rows": (absent_rows.run, absent_rows.COLUMNS),
    "decoding": (decoding.run, decoding.COLUMNS),
}
DESCRIBES = ("machine",)  # parts whose rows are no check
WORK = Path("build/gpu_check")
SCHEMA = 1  # of the JSON; another number when a reader of the old one would misread it


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The verb's arguments."""
    verb = verbs.add_parser(
        "gpu-check",
        help="what one NVIDIA GPU makes of the exported graphs: right, how fast, how near to its peak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("--quick", action="store_true", help="batches of 1 and the largest, 0.15 s per point")
    verb.add_argument("--base", action="store_true", help="the base presets too, with random weights")
    verb.add_argument(
        "--preset", nargs="+", choices=(*SMALL, *BASE), metavar="NAME", help="only these presets"
    )
    verb.add_argument("--precision", nargs="+", choices=PRECISIONS, default=PRECISIONS, metavar="NAME")
    verb.add_argument(
        "--only", nargs="+", choices=tuple(PARTS), metavar="PART", help=f"of {', '.join(PARTS)}"
    )
    verb.add_argument("--seed", type=int, default=7, help="of inputs and payloads (default: %(default)s)")
    verb.add_argument("--work", type=Path, default=WORK, help="graphs and engines (default: %(default)s)")
    verb.add_argument("--out", type=Path, default=WORK / "gpu_check.json", help="default: %(default)s")


def run(chosen: argparse.Namespace, say: Callable[[str], None]) -> int:
    """Check what was asked, say what was found and what was left out; returns the exit status."""
    presets = tuple(chosen.preset) if chosen.preset else (*SMALL, *(BASE if chosen.base else ()))
    plan = Plan(presets, tuple(chosen.precision), chosen.quick, chosen.seed, chosen.work, say)
    report = record.circumstances(chosen.seed)
    report |= {"schema": SCHEMA, "gpu": installed.driver(), "versions": installed.versions()}
    report |= {"presets": plan.presets, "precisions": plan.precisions, "quick": plan.quick, "parts": {}}
    found: dict[str, Finding] = {}
    for name in chosen.only or PARTS:
        started = time.perf_counter()
        found[name] = checked(name, plan, found)
        say(text(name, found[name], time.perf_counter() - started))
        report["parts"] = {part: one.as_dict() for part, one in found.items()}
        report["exit_status"] = status(found)
        record.write(chosen.out, report)  # after every part: a lease may end before the check does
    _draw(found, chosen.out.with_suffix(".png"), say)
    say(verdict(found))
    return status(found)


def checked(name: str, plan: Plan, earlier: Mapping[str, Finding]) -> Finding:
    """What a part found; a part that cannot run at all is a finding of one reason."""
    try:
        return PARTS[name][0](plan, earlier)
    except Skip as reason:
        return Finding(skipped=[f"all of it: {reason}"])
    except Exception as error:  # a part's own fault must not take the others' figures with it
        return Finding(faults=[f"{type(error).__name__}: {first_line(error)}"])


def status(found: Mapping[str, Finding]) -> int:
    """The exit status; see this module's head."""
    if any(one.faults for one in found.values()):
        return 1
    if not any(one.rows for name, one in found.items() if name not in DESCRIBES):
        return 2
    return 0


def text(name: str, finding: Finding, seconds: float) -> str:
    """A part for a terminal: its table, what was left out and why, what is wrong."""
    lines = [f"\n== {name} ({seconds:.0f} s)"]
    if finding.rows:
        lines.append(table(finding.rows, PARTS[name][1]))
    lines += [f"skipped  {reason}" for reason in finding.skipped]
    lines += [f"FAILED   {fault}" for fault in finding.faults]
    return "\n".join(lines)


def verdict(found: Mapping[str, Finding]) -> str:
    """The last line."""
    faults = sum(len(one.faults) for one in found.values())
    rows = sum(len(one.rows) for name, one in found.items() if name not in DESCRIBES)
    skipped = sum(len(one.skipped) for one in found.values())
    outcome = {
        0: "all that ran is right",
        1: f"{faults} fault(s)",
        2: "nothing was checked: no NVIDIA GPU that a package here can compute on",
    }[status(found)]
    return f"\ngpu-check: {outcome}; {rows} figures, {skipped} skipped"


def _draw(found: Mapping[str, Finding], path: Path, say: Callable[[str], None]) -> None:
    gpu = next((str(row.get("name")) for row in found.get("machine", Finding()).rows), "GPU")
    try:
        picture.draw(found.get("engines", Finding()).rows, f"Engines on {gpu}", path)
    except Skip as reason:
        say(f"skipped  {reason}")


__all__ = ["PARTS", "add", "run"]
