"""What a processor's server runs of what a search found: configurations say it, the search judges it.

`configs/cpu.pbtxt` of a model names its engine and whether that computes in bf16; nothing here changes it.
What an export decides is the graph: in int8 where the search found that to be the fastest within budget in
the very engine that is configured, else in fp32. A configuration that is beyond the budget stops the export,
a slower one is told with the entry that would change it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from export import cpu_engines
from export.contract import Contract
from export.precision import records
from export.precision.candidates import REFERENCE, Candidate
from export.precision.search import Trial
from export.precision.tasks import task_of

AGREES = 1.1  # times as fast: below it a difference between two runs of a search is noise (docs/precision.md)
TABLE = "FASTER_ON_CPU of model_repository/configuration.py, then `python -m model_repository.describe`"
Record = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """One engine: as it is configured, with its graph in fp32, and as the search found it best.

    lowered: whether its graph may be in int8
    """

    model: str
    configured: Trial
    best: Trial
    lowered: bool = True

    @property
    def runs(self) -> Trial:
        """What the server will run with the graph that is written for it."""
        low = self.lowered and self.best.candidate.precision == "int8" and self._configured_for_best
        return self.best if low and not self.agrees else self.configured

    @property
    def agrees(self) -> bool:
        """Whether the configuration, with a graph in fp32, is within budget and as fast as the best."""
        return self.configured.ok and _speed(self.configured) * AGREES >= _speed(self.best)

    @property
    def advice(self) -> str:
        """The entry that makes the configuration run what is best; empty where it does or could already."""
        if self.agrees or self._configured_for_best:
            return ""
        best = self.best.candidate
        again = ", and export again" if best.precision == "int8" else ""
        if best.engine == REFERENCE.engine:
            return f'take "{self.model}" out of {TABLE}{again}'
        return f'set "{self.model}": "{best.engine} {best.hint}" in {TABLE}{again}'

    def __str__(self) -> str:
        best, runs = _named(self.best), f"{self.model}: runs {_named(self.runs)}"
        if self.runs == self.best:
            graph = ", its graph in int8" if self.runs.candidate.precision == "int8" else ""
            return f"{runs} as configured{graph}: the fastest within budget"
        if self.agrees:
            return f"{runs} as configured: less than a tenth off the fastest within budget, {best}"
        if self._configured_for_best:
            return f"{runs} as configured: {best} is within budget alone, not with the other engines"
        return f"{runs} as configured, but {best} is the fastest within budget: {self.advice}"

    @property
    def refusal(self) -> str:
        """Why nothing may be exported; empty where what runs is within budget."""
        if self.runs.ok:
            return ""
        return (
            f"{self.model}: expected a configuration within budget, got {self.runs.candidate} "
            f"({'; '.join(self.runs.faults)}); {self.advice}"
        )

    @property
    def _configured_for_best(self) -> bool:
        own, best = self.configured.candidate, self.best.candidate
        return (own.engine, own.hint) == (best.engine, best.hint)


def records_of(preset: str, engines: Path, repository: Path) -> tuple[dict[str, Record], list[str]]:
    """Model -> what was tried and what is written for it, and a sentence for each model.

    engines: fp32 graphs, a folder of `python -m export --out`; a search of the same ones is not made again
    errors: LookupError for configurations that are beyond the budget, one by one or together, and what
            `records.record_of` raises
    """
    searched = records.record_of(preset, engines, repository, "cpu")
    found = {model: dict(record) for model, record in searched.items()}
    contracts = {one.name: one for one in records.networks(preset, repository)}
    verdicts = {model: verdict_of(contracts[model], record) for model, record in found.items()}
    refusals = [one.refusal for one in verdicts.values() if one.refusal]
    if refusals:
        raise LookupError(". ".join(refusals))
    verdicts, together = _together(preset, engines, repository, verdicts, found)
    if not together.ok:
        advice = "; ".join(one.advice for one in verdicts.values() if one.advice)
        raise LookupError(
            f"{preset}: expected its configurations to be within budget together, got "
            f"{'; '.join(together.faults)}; {advice or 'configure fp32 for the engine that is furthest off'}"
        )
    made = {model: record | _written(verdicts[model], together) for model, record in found.items()}
    return made, [str(one) for one in verdicts.values()]


def verdict_of(promised: Contract, record: Record) -> Verdict:
    """What a model's configuration and the record of its search say together."""
    engine, precision = cpu_engines.configured(promised)
    tried = [Trial.from_dict(one) for one in record["tried"]]
    trials = {trial.candidate: trial for trial in tried}
    chosen = record["chosen"]
    best = Candidate(chosen["precision"], chosen["engine"], tuple(chosen["keep"]))
    return Verdict(promised.name, trials[Candidate(precision, engine)], trials[best])


def _written(verdict: Verdict, together: Trial) -> Record:
    """Of a model's record, what concerns its configuration and its graph."""
    runs = verdict.runs.candidate
    low = runs.precision == "int8"
    return {
        "configured": asdict(verdict.configured.candidate),
        "written": {"precision": "int8" if low else "fp32", "keep": list(runs.keep) if low else []},
        "as_configured": together.as_dict(),
    }


def _together(
    preset: str,
    engines: Path,
    repository: Path,
    verdicts: Mapping[str, Verdict],
    found: Mapping[str, Record],
) -> tuple[dict[str, Verdict], Trial]:
    """The verdicts, and all engines judged as they will run; graphs in int8 go back to fp32 if that helps."""
    if all(one.runs == one.best for one in verdicts.values()):
        return dict(verdicts), Trial.from_dict(next(iter(found.values()))["together"])
    path = engines / "precision_cpu_as_configured.json"
    mix = {model: asdict(one.runs.candidate) for model, one in verdicts.items()}
    said = json.dumps([records.key_of(preset, engines, repository, "cpu"), mix])
    key = hashlib.sha256(said.encode()).hexdigest()
    kept = json.loads(path.read_text()) if path.is_file() else {}
    if kept.get("key") != key:
        kept = {"key": key, **_judged(preset, engines, repository, verdicts)}
        path.write_text(json.dumps(kept, indent=1) + "\n")
    raised = {model: replace(one, lowered=model not in kept["raised"]) for model, one in verdicts.items()}
    return raised, Trial.from_dict(kept["together"])


def _judged(preset: str, engines: Path, repository: Path, verdicts: Mapping[str, Verdict]) -> Record:
    """How the engines answer together, and which of them went back to a graph in fp32 for it."""
    verdicts = dict(verdicts)
    with records.search_of(preset, engines, repository, task_of(preset, engines=engines), ()) as search:
        together = search.together({model: one.runs for model, one in verdicts.items()})
        while not together.ok and (low := _lowered(verdicts)):
            worst = max(low, key=lambda model: verdicts[model].runs.apart)
            verdicts[worst] = replace(verdicts[worst], lowered=False)
            together = search.together({model: one.runs for model, one in verdicts.items()})
    raised = [model for model, one in verdicts.items() if not one.lowered]
    return {"raised": raised, "together": together.as_dict()}


def _lowered(verdicts: Mapping[str, Verdict]) -> list[str]:
    """Models with a graph in int8 that may as well have one in fp32."""
    return [
        model
        for model, one in verdicts.items()
        if one.runs.candidate.precision == "int8" and one.configured.ok
    ]


def _speed(trial: Trial) -> float:
    return trial.speed or 1.0


def _named(trial: Trial) -> str:
    return f"{trial.candidate} ({_speed(trial):.2f}x)"
