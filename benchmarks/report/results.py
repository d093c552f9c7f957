"""Result files of any age and kind, as what was measured last; what is missing stays missing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.workloads import WORKLOADS

NOT_MEASURED = "not measured"
PIPELINES = tuple(WORKLOADS)
VERBS = (
    "goodput", "curve", "floor", "offline", "stages", "absent", "corrupt", "coldstart", "swap", "peers",
    "accuracy", "ladder", "load",
)  # fmt: skip
FACTS = ("command", "commit", "time", "machine", "result")  # what makes a JSON file one of ours


@dataclass(frozen=True)
class Result:
    """One file. facts: all of it but the result, see `benchmarks.record`"""

    path: Path
    facts: Mapping[str, Any]
    result: Mapping[str, Any]

    @property
    def verb(self) -> str:
        """Which measurement it is: by its command, or by its name where a test was the command."""
        words = self.facts["command"].split()
        after = words[words.index("benchmarks") + 1 :] if "benchmarks" in words else []
        named = self.path.stem.split("_")[0]
        return after[0] if after and after[0] in VERBS else named if named in VERBS else ""

    @property
    def pipeline(self) -> str:
        """What was measured; weld_inspection where the file does not say, as it was the first."""
        said = self.result.get("pipeline") or self.facts.get("pipeline")
        texts = (self.facts["command"], self.path.stem)
        return str(said or next((one for one in PIPELINES for text in texts if one in text), PIPELINES[0]))

    @property
    def is_quick(self) -> bool:
        """Made to prove the logic, not to be quoted."""
        return bool(self.facts.get("quick")) or "--quick" in self.facts["command"].split()

    def figure(self, *names: str) -> Any:
        """What stands under these names in the result; None where nothing does."""
        found: Any = self.result
        for name in names:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    @property
    def commits(self) -> set[str]:
        """Of which commits its rounds are."""
        return {str(one["commit"]) for one in (self.facts, *self.facts.get("resumed", ()))}

    @property
    def shortened(self) -> str:
        """Repeats and seconds of a run shorter than the method asks of a quoted figure; empty for others."""
        plan = self.figure("plan") or {}
        asked, asked_s = METHOD.get(self.verb, (REPEATS, POINT_S))
        repeats = plan.get("rounds", plan.get("repeats", asked))
        point_s = plan.get("search", plan).get("point_s", asked_s)
        short = repeats < asked or point_s < asked_s
        return f"{self.verb} ({repeats} of {digits(point_s)} s)" if short else ""

    def doubts(self) -> list[str]:
        """Reasons not to quote it."""
        machine, stolen = self.facts["machine"], self.facts.get("stolen_share", 0.0)
        busy = self.verb not in UNHURRIED and self.facts.get("load_before", 0.0) > BUSY * machine.get(
            "cores", 1
        )
        return [
            sentence
            for holds, sentence in (
                (self.is_quick, "a quick run, for its logic only"),
                (self.facts.get("complete") is False, "ended before its last round"),
                (self.figure("void"), "void: the load generator itself was late"),
                (
                    busy,
                    f"the machine was busy before it began (load {self.facts.get('load_before', 0.0):.1f})",
                ),
                (
                    self.verb not in UNHURRIED and stolen > MOST_STOLEN,
                    f"the host took {stolen:.0%} of the processor time that was wanted",
                ),
                (self.facts.get("clean") is False, "uncommitted changes"),
            )
            if holds
        ]


REPEATS, POINT_S = 5, 60.0
METHOD = {"corrupt": (15, 5.0)}  # where many short turns are compared
UNHURRIED = ("accuracy", "ladder")  # what else runs does not change what is right
MOST_STOLEN = 0.05
BUSY = 0.5  # of the cores: a load average above it means that something else ran


@dataclass(frozen=True)
class Results:
    """All files that were found."""

    files: Sequence[Result]

    def of(self, verb: str) -> list[Result]:
        """The last file of each pipeline for a verb, full runs before quick ones, in the pipelines' order."""
        last: dict[str, Result] = {}
        for one in sorted(self.files, key=lambda one: (not one.is_quick, one.facts["time"])):
            if one.verb == verb:
                last[one.pipeline] = one
        return sorted(last.values(), key=lambda one: (one.pipeline != "weld_inspection", one.pipeline))

    def last(self, verb: str) -> Result | None:
        """The one of the pipeline that comes first, the welds if there is one."""
        found = self.of(verb)
        return found[0] if found else None


def read(sources: Iterable[Path]) -> Results:
    """Files, and every JSON below folders; one that is no result of ours is passed over.

    raises: FileNotFoundError for a source that is not there
    """
    files: list[Result] = []
    for source in sources:
        if not source.exists():
            raise FileNotFoundError(
                f"report: expected results at {source}, found nothing there; name a folder"
            )
        for path in sorted(source.rglob("*.json")) if source.is_dir() else [source]:
            found = _read(path)
            files += [found] if found else []
    return Results(files)


def _read(path: Path) -> Result | None:
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError):
        return None
    if not isinstance(written, dict) or any(name not in written for name in FACTS):
        return None
    if not isinstance(written["result"], dict):
        return None
    return Result(
        path, {name: value for name, value in written.items() if name != "result"}, written["result"]
    )


def middle(value: Any) -> float | None:
    """The median of repeats, or the number itself; None for anything else."""
    if isinstance(value, Mapping):
        value = value.get("median")
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def spread(value: Any) -> tuple[float, float] | None:
    """(least, most) of repeats; None where there were none, or where they do not differ."""
    if not isinstance(value, Mapping) or middle(value.get("min")) is None or middle(value.get("max")) is None:
        return None
    return (float(value["min"]), float(value["max"])) if value["min"] != value["max"] else None


def said(value: Any, unit: str = "") -> str:
    """A quantity for people: `12.3 [11.9-12.8] Hz`, or that it was not measured."""
    centre, ends = middle(value), spread(value)
    if centre is None:
        return NOT_MEASURED
    around = f" [{digits(ends[0])}-{digits(ends[1])}]" if ends else ""
    return f"{digits(centre)}{around}{' ' if unit and unit != '%' else ''}{unit}"


def digits(value: float) -> str:
    """Three figures that count, without an exponent."""
    if value == int(value) and abs(value) < 10_000:
        return str(int(value))
    size = abs(value)
    return (
        f"{value:,.0f}"
        if size >= 100
        else f"{value:.1f}"
        if size >= 10
        else f"{value:.{2 if size >= 0.1 else 3}f}"
    )
