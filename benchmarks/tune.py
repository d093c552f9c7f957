"""Find better settings of a served pipeline: one knob after another, each tried on a server of its own.

Coordinate descent: every value of a knob with the others as they are plays a match with the best so far
(`match`), and is the best from then on if it gives a twentieth more; until a whole round changes nothing. The
winner then meets what it began from, in pairs of their own: the luckiest of many was lucky.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tqdm import tqdm

import serving
from benchmarks import match
from benchmarks.goodput import said, spread
from benchmarks.verified import Subject, subject
from benchmarks.workloads import Workload
from model_repository.configuration import THREADS
from serving.required import configuration, models_of

GAIN = 1.05  # below which a change is noise and the simpler setting stays
LEAST = {4: 1.0, 8: GAIN}  # after so many pairs: what a candidate has to be ahead of then, to be played on
ROUNDS = 3

Setting = Mapping[str, int]  # knob -> value; a knob that is not in it stays as the repository has it
Apply = Callable[[Any, int], bool]  # (model configuration, value) -> whether it is about this model


@dataclass(frozen=True)
class Knob:
    """Something to turn, the values to try, and what a value does to a model's configuration."""

    values: tuple[int, ...]
    apply: Apply


def _threads(config: Any, value: int) -> bool:
    if config.backend not in THREADS:
        return False
    config.parameters[THREADS[config.backend]].string_value = str(value)
    return True


def _engine_instances(config: Any, value: int) -> bool:
    return config.backend in THREADS and _count(config, value)


def _decoder_instances(config: Any, value: int) -> bool:
    return bool(config.backend == "dali") and _count(config, value)


def _count(config: Any, value: int) -> bool:
    config.instance_group[0].count = value
    return True


def _engine_delay(config: Any, value: int) -> bool:
    return config.backend in THREADS and _delay(config, value)


def _decoder_delay(config: Any, value: int) -> bool:
    return bool(config.backend == "dali") and _delay(config, value)


def _delay(config: Any, value: int) -> bool:
    config.dynamic_batching.max_queue_delay_microseconds = value
    return True


def _batch(config: Any, value: int) -> bool:
    """Batches that leave at once: what is served keeps accepting what its contract says."""
    if config.backend not in THREADS:
        return False
    del config.dynamic_batching.preferred_batch_size[:]
    config.dynamic_batching.preferred_batch_size.append(min(value, config.max_batch_size))
    return True


KNOBS: dict[str, Knob] = {
    "engine_threads": Knob((1, 2), _threads),
    "engine_instances": Knob((1, 2), _engine_instances),
    "decoder_instances": Knob((1, 2), _decoder_instances),
    "decoder_delay_us": Knob((0, 1000, 5000), _decoder_delay),
    "engine_delay_us": Knob((0, 500, 2000), _engine_delay),
    "preferred_batch": Knob((2, 4, 8), _batch),
}
QUICK_KNOBS = {"engine_threads": Knob((2,), _threads)}


def descend(
    compare: Callable[[Setting, Setting], float], knobs: Mapping[str, Sequence[int]], rounds: int = ROUNDS
) -> dict[str, int]:
    """The best setting that turning one knob at a time finds, from the empty one: the repository as it is.

    compare: (the best so far, a candidate) -> how many times as good the candidate is; never asked twice
    """
    best: dict[str, int] = {}
    tried: list[dict[str, int]] = [best]
    for _ in range(rounds):
        before = best
        for name, values in knobs.items():
            for value in values:
                candidate = {**best, name: value}
                if candidate in tried:
                    continue
                tried.append(candidate)
                if compare(best, candidate) >= GAIN:
                    best = candidate
        if best == before:
            break
    return best


def configured(source: Path, pipeline: str, setting: Setting) -> dict[str, tuple[Any, list[str]]]:
    """Every model's configuration with a setting, and the knobs of it that are about this model."""
    found = {}
    for model in models_of(source, [pipeline]):
        config = configuration(source, model)
        found[model] = (config, [name for name, value in setting.items() if KNOBS[name].apply(config, value)])
    return found


def differ(source: Path, pipeline: str, one: Setting, other: Setting) -> bool:
    """Whether two settings configure anything differently."""
    alike = (configured(source, pipeline, each) for each in (one, other))
    first, second = ({model: config for model, (config, _) in each.items()} for each in alike)
    return first != second


def written(source: Path, target: Path, pipeline: str, setting: Setting, remark: str = "") -> Path:
    """A copy of the pipeline's models with a setting in `configs/cpu.pbtxt`; the source stays as it is.

    remark: goes above every configuration that was changed
    """
    shutil.rmtree(target, ignore_errors=True)
    for model, (config, changed) in configured(source, pipeline, setting).items():
        shutil.copytree(source / model, target / model)
        if changed:
            values = ", ".join(f"{name} {setting[name]}" for name in changed)
            head = f"# Tuned by `python -m benchmarks tune {pipeline}`: {values}.\n"
            head += "".join(f"# {line}\n" for line in remark.splitlines())
            path = target / model / "configs" / "cpu.pbtxt"
            path.write_text(head + text_format.MessageToString(config), encoding="utf-8")
    return target


class Failed(RuntimeError):
    """A setting with which the pipeline does not come up, or does not answer."""


@dataclass(frozen=True)
class Trial:
    """What settings of a pipeline are compared on: its models, its requests, a folder for what is served."""

    repository: Path
    workload: Workload
    payloads: Sequence[Mapping[str, Any]]
    work: Path

    @contextmanager
    def served(self, setting: Setting, name: str) -> Iterator[Subject]:
        """A server with a setting."""
        target = written(self.repository, self.work / name, self.workload.pipeline, setting).resolve()
        with serving.running([self.workload.pipeline], target) as address:
            yield subject(address.grpc, self.workload, self.payloads)

    def match(
        self, one: Setting, other: Setting, plan: match.Plan, least: Mapping[int, float] | None = None
    ) -> match.Match:
        """Two settings in turn; nothing is played where they are the same.

        raises: Failed when the other cannot be served
        """
        if not differ(self.repository, self.workload.pipeline, one, other):
            return match.Match()
        with self.served(one, "one") as first, ExitStack() as stack:
            try:
                second = stack.enter_context(self.served(other, "other"))
            except (OSError, RuntimeError) as error:
                raise Failed(str(error)) from error
            return match.play(first, second, plan, least=least)


def measure(
    repository: Path,
    workload: Workload,
    payloads: Sequence[Mapping[str, Any]],
    plan: match.Plan,
    work: Path,
    knobs: Mapping[str, Knob] = KNOBS,
) -> dict[str, Any]:
    """Search, then the winner against the beginning; `work/tuned` is the winner's repository."""
    trial = Trial(repository, workload, payloads, work)
    tried: list[dict[str, Any]] = []
    with tqdm(desc="tune", unit="setting", file=sys.stderr) as bar:

        def compare(best: Setting, candidate: Setting) -> float:
            known = {"setting": candidate, "against": best}
            try:
                found = trial.match(best, candidate, plan, LEAST)
            except Failed as error:
                tried.append(known | {"failed": str(error)})
                return 0.0
            if found.pairs:
                tried.append(known | {"ratio": spread(found.ratios)})
                bar.set_postfix(candidate)
                bar.update()
            return found.ratio

        best = descend(compare, {name: knob.values for name, knob in knobs.items()})
        bar.set_description("winner against the beginning")
        last = trial.match({}, best, replace(plan, seed=plan.seed + 1))
    result = {
        "plan": asdict(plan),
        "slo_ms": workload.slo_ms,
        "tried": tried,
        "best": best,
        "pairs": last.pairs,
        "void": last.void,
    }
    if last.pairs:
        result |= {
            "before_hz": spread([before for before, _ in last.pairs]),
            "tuned_hz": spread([tuned for _, tuned in last.pairs]),
            "ratio": spread(last.ratios),
        }
    written(repository, work / "tuned", workload.pipeline, best, table(result))
    return result


def table(result: Mapping[str, Any]) -> str:
    """The result for a terminal, and for a comment above the configuration."""
    count, slo_ms = len(result["tried"]), result["slo_ms"]
    if not result["best"]:
        return f"{count} settings tried at {slo_ms:g} ms; none gives {GAIN - 1:.0%} more than what is there"
    best = ", ".join(f"{name} {value}" for name, value in result["best"].items())
    return "\n".join(
        [
            f"{count} settings tried at {slo_ms:g} ms; best: {best}",
            f"good answers {said(result['before_hz'], '/s')} before, {said(result['tuned_hz'], '/s')} tuned; "
            f"ratio {said(result['ratio'])} over {len(result['pairs'])} pairs in turn",
        ]
    )
