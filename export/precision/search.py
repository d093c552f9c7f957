"""The lowest precision within budget, engine by engine: tried, judged on the task, kept or taken back.

Every candidate answers what the pipeline's task asks, the other engines in fp32. Where a precision that lies
in the graph costs too much, parts go back to fp32: first the products that a softmax sharpens (norms, softmax
and positions never left), then blocks, the one first that does most harm when it alone is lowered. At last
the chosen engines answer together; while that is beyond budget, the worst of them goes one step back.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from export.budgets import PrecisionBudget
from export.parity import Arrays, Run
from export.precision.candidates import BITS, REFERENCE, Bench, Candidate, keeping
from export.precision.chain import Chain, Misshapen, feed
from export.precision.tasks import Figures, Task

ROUNDS = 15  # of one request each, all candidates of a model in turn: their ratio, not their speed, is kept
LONGEST, SECONDS = 300, 2.0  # more rounds where they are short: of a head of 0.3 ms 15 were off by 20 %
WORTH = 1.05  # below it a faster candidate is noise: the more precise one stays


@dataclass(frozen=True)
class Trial:
    """What one candidate cost and bought.

    apart:  largest relative error (L2) of any of the pipeline's answers, and in which
    drops:  metric -> how much worse than fp32
    speed:  times as fast as fp32 on ONNX Runtime, None where this machine cannot say
    faults: what is beyond the budget, empty if nothing
    """

    model: str
    candidate: Candidate
    apart: float
    worst: str
    drops: Figures
    speed: float | None
    faults: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether it is within budget."""
        return not self.faults

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        drops = {name: _finite(drop) for name, drop in self.drops.items()}
        return asdict(self) | {"ok": self.ok, "apart": _finite(self.apart), "drops": drops}

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Trial:
        """What `as_dict` made of it."""
        given = said["candidate"]
        candidate = Candidate(given["precision"], given["engine"], tuple(given["keep"]))
        far = float("inf") if said["apart"] is None else said["apart"]
        drops = {name: float("nan") if drop is None else drop for name, drop in said["drops"].items()}
        faults = tuple(said["faults"])
        return cls(said["model"], candidate, far, said["worst"], drops, said["speed"], faults)


@dataclass(frozen=True)
class Found:
    """The outcome of a search: model -> its candidate, all that was tried, the chosen ones together."""

    choices: Mapping[str, Candidate]
    trials: Sequence[Trial]
    together: Trial
    reference: Figures
    items: int

    def first_of(self, model: str) -> Trial:
        """What an engine was tried as first: in the lowest precision, with nothing kept."""
        return next(trial for trial in self.trials if trial.model == model)

    def record(self, model: str) -> dict[str, Any]:
        """The `precision` section of a model's manifest."""
        return {
            "chosen": asdict(self.choices[model]),
            "tried": [trial.as_dict() for trial in self.trials if trial.model == model],
            "together": self.together.as_dict(),
            "fp32": dict(self.reference),
            "judged_items": self.items,
        }


@dataclass
class Search:
    """One pipeline's engines, its task and its budget; `say` is told of every trial."""

    chain: Chain
    benches: Mapping[str, Bench]
    task: Task
    budget: PrecisionBudget
    candidates: Sequence[Candidate]
    say: Callable[[Trial], None] = lambda trial: None
    trials: list[Trial] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.plain: dict[str, Run] = {name: bench.run(REFERENCE) for name, bench in self.benches.items()}
        self.whole = self.chain.answers(self.plain, self.task.judged)
        self.figures = self.task.figures(self.whole)

    def found(self) -> Found:
        """Try all candidates of all engines, then the best ones together."""
        ranked = {model: self.ranked(model) for model in self.chain.models}
        choices = {model: trials[0] for model, trials in ranked.items()}
        together = self.together(choices)
        while not together.ok and any(len(trials) > 1 for trials in ranked.values()):
            worst = max((m for m in ranked if len(ranked[m]) > 1), key=lambda m: choices[m].apart)
            ranked[worst].pop(0)
            choices[worst] = ranked[worst][0]
            together = self.together(choices)
        items = len(next(iter(self.task.judged.values())))
        return Found(
            {m: trial.candidate for m, trial in choices.items()}, self.trials, together, self.figures, items
        )

    def ranked(self, model: str) -> list[Trial]:
        """Trials of one engine within budget, the best first; the last is fp32.

        Best is the fastest where this machine can say, else the lowest.
        """
        speeds = self.speeds(model)
        passed = []
        for candidate in self.candidates:
            for trial in self.attempts(model, candidate, speeds.get(candidate)):
                self.trials.append(trial)
                self.say(trial)
                if trial.ok:
                    passed.append(trial)
                    break
        return sorted(passed, key=_rank) or [self.trial(model, REFERENCE, 1.0)]

    def attempts(self, model: str, candidate: Candidate, speed: float | None) -> Iterator[Trial]:
        """The candidate as it is, then with more and more of it in fp32, while somebody asks for the next."""
        yield self.trial(model, candidate, speed)
        if not candidate.in_graph:
            return
        bench = self.benches[model]
        if candidate.precision != "int8" and bench.before_softmax():
            candidate = keeping(candidate, bench.before_softmax())
            yield self.trial(model, candidate, None)
        harm = self.harmful(model, candidate)
        count = 1
        while count < len(harm):
            kept = keeping(candidate, harm[:count])
            if not bench.lowers(kept):
                return
            yield self.trial(model, kept, self.speeds(model, [kept]).get(kept))
            count *= 2

    def harmful(self, model: str, candidate: Candidate) -> list[str]:
        """Blocks of an engine, the one first that moves its answers most when it alone is lowered."""
        bench = self.benches[model]
        blocks = bench.blocks(candidate.precision)
        contract = bench.contract
        arrays = feed(
            contract, self.whole, 0, min(contract.max_batch, len(self.whole[contract.inputs[0].name]))
        )
        wanted = self.plain[model](arrays)
        errors = {}
        for block in blocks:
            others = keeping(candidate, [name for name in blocks if name != block])
            errors[block] = apart(wanted, bench.run(others)(arrays), list(wanted))[0]
        return sorted(blocks, key=lambda block: -errors[block])

    def trial(self, model: str, candidate: Candidate, speed: float | None) -> Trial:
        """Judge one engine as the candidate, the others in fp32."""
        runs = self.plain | {model: self.benches[model].run(candidate)}
        try:
            answers = self.chain.answers(runs, self.whole, self.chain.after(model))
        except Misshapen as error:  # OpenVINO, of some graphs in int8 that choose rows
            drops = dict.fromkeys(self.figures, float("nan"))
            return Trial(model, candidate, float("inf"), "", drops, speed, (str(error),))
        return self.judged(model, candidate, answers, speed)

    def together(self, choices: Mapping[str, Trial]) -> Trial:
        """Judge all engines as chosen, and how fast one request passes all of them."""
        runs = {model: self.benches[model].run(trial.candidate) for model, trial in choices.items()}
        answers = self.chain.answers(runs, self.task.judged)
        speed = None
        if all(self.benches[model].measurable(trial.candidate) for model, trial in choices.items()):
            one = {name: array[:1] for name, array in self.task.judged.items()}
            ways = {"fp32": self.plain, "chosen": runs}
            taken = alternating({k: lambda way=way: self.chain.answers(way, one) for k, way in ways.items()})  # type: ignore[misc]
            speed = taken["fp32"] / taken["chosen"]
        lowest = min((trial.candidate for trial in choices.values()), key=lambda one: BITS[one.precision])
        trial = self.judged("together", Candidate(lowest.precision, "mixed"), answers, speed)
        self.say(trial)
        return trial

    def judged(self, model: str, candidate: Candidate, answers: Arrays, speed: float | None) -> Trial:
        """Compare answers of the whole pipeline with those of fp32."""
        far, worst = apart(self.whole, answers, self.chain.results)
        figures = (
            self.task.figures(answers) if np.isfinite(far) else dict.fromkeys(self.figures, float("nan"))
        )
        drops = {name: self.figures[name] - figures[name] for name in self.figures}
        faults = [
            f"{name} {drop:+.4f} of {self.budget.drops[name]}"
            for name, drop in drops.items()
            if not drop <= self.budget.drops[name]
        ]
        if not far <= self.budget.apart:
            faults.insert(0, f"{worst} {far:.3f} apart of {self.budget.apart}")
        return Trial(model, candidate, far, worst, drops, speed, tuple(faults))

    def speeds(self, model: str, chosen: Sequence[Candidate] | None = None) -> dict[Candidate, float]:
        """Times as fast as the reference on one real request, all in one run."""
        bench = self.benches[model]
        arrays = feed(bench.contract, self.whole, 0, 1)
        runs = {
            candidate: bench.run(candidate)
            for candidate in (self.candidates if chosen is None else chosen)
            if bench.measurable(candidate)
        }
        if not runs:
            return {}
        runs[REFERENCE] = self.plain[model]
        taken = alternating({c: lambda run=run: run(arrays) for c, run in runs.items()})  # type: ignore[misc]
        return {candidate: taken[REFERENCE] / seconds for candidate, seconds in taken.items()}


def apart(
    wanted: Mapping[str, np.ndarray], got: Mapping[str, np.ndarray], names: Sequence[str]
) -> tuple[float, str]:
    """The largest relative error in L2 of any tensor of numbers, infinite where one is not finite or has
    another shape.
    """
    errors = {}
    for name in names:
        a, b = wanted[name].astype(np.float64), got[name].astype(np.float64)
        if a.shape != b.shape:
            return float("inf"), name
        size = float(np.linalg.norm(a))
        errors[name] = float(np.linalg.norm(a - b)) / size if size else float(np.abs(b).max(initial=0.0))
        if not np.isfinite(errors[name]):
            errors[name] = float("inf")
    worst = max(errors, key=lambda name: errors[name])
    return errors[worst], worst


def alternating(works: Mapping[Any, Callable[[], object]]) -> dict[Any, float]:
    """Median seconds of each, taken in turn."""
    taken: dict[Any, list[float]] = {name: [] for name in works}
    began = time.perf_counter()
    for done in range(LONGEST + 1):
        if done > ROUNDS and time.perf_counter() - began > SECONDS:
            break
        for name, work in works.items():
            start = time.perf_counter()
            work()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds[1:]) for name, seconds in taken.items()}


def _finite(figure: float) -> float | None:
    """None for what JSON cannot say."""
    return figure if np.isfinite(figure) else None


def _rank(trial: Trial) -> tuple[float, int, float]:
    """Faster first, in steps that are no noise; then more bits. Unmeasured: fewer bits, then fewer kept."""
    if trial.speed is None:
        return (0.0, BITS[trial.candidate.precision], float(len(trial.candidate.keep)))
    step = np.floor(np.log(trial.speed) / np.log(WORTH))
    return (-float(step), -BITS[trial.candidate.precision], trial.apart)
