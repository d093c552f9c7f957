"""Find better settings of a served pipeline: one knob after another, each tried on a server of its own.

Coordinate descent: every value of a knob with the others as they are, the best stays, until a whole round
changes nothing. A candidate is asked one question, whether it reaches a twentieth more than the best so far,
and searched further only if it does. The winner is then measured in turn with what it began from, since the
machine drifts and the luckiest of many was lucky.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tqdm import tqdm

import serving
from benchmarks import goodput
from benchmarks.goodput import spread
from benchmarks.verified import Subject, subject
from benchmarks.workloads import Workload
from model_repository.configuration import THREADS
from serving.required import configuration, models_of

GAIN = 1.05  # of the goodput, below which a change is noise and the simpler setting stays
MOST_GAINS = 24  # in a row, threefold
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
QUICK_KNOBS = {"engine_threads": Knob((1,), _threads)}


def descend(
    score: Callable[[Setting, float], float], knobs: Mapping[str, Sequence[int]], rounds: int = ROUNDS
) -> tuple[dict[str, int], list[tuple[dict[str, int], float]]]:
    """The best setting that turning one knob at a time finds, and everything that was tried with its score.

    The first one tried is the empty one: the repository as it is.

    score: (setting, what it has to reach) -> its score, 0 for less
    """
    best: dict[str, int] = {}
    best_score = score(best, 0.0)
    tried: list[tuple[dict[str, int], float]] = [(best, best_score)]
    for _ in range(rounds):
        before = best
        for name, values in knobs.items():
            for value in values:
                candidate = {**best, name: value}
                if any(candidate == one for one, _ in tried):
                    continue
                found = score(candidate, GAIN * best_score)
                tried.append((candidate, found))
                if found and found >= GAIN * best_score:
                    best, best_score = candidate, found
        if best == before:
            break
    return best, tried


def written(source: Path, target: Path, pipeline: str, setting: Setting, remark: str = "") -> Path:
    """A copy of the pipeline's models with a setting in `configs/cpu.pbtxt`; the source stays as it is.

    remark: goes above every configuration that was changed
    """
    shutil.rmtree(target, ignore_errors=True)
    for model in models_of(source, [pipeline]):
        shutil.copytree(source / model, target / model)
        config = configuration(source, model)
        changed = [name for name, value in setting.items() if KNOBS[name].apply(config, value)]
        if changed:
            said = ", ".join(f"{name} {setting[name]}" for name in changed)
            head = f"# Tuned by `python -m benchmarks tune {pipeline}`: {said}.\n"
            head += "".join(f"# {line}\n" for line in remark.splitlines())
            path = target / model / "configs" / "cpu.pbtxt"
            path.write_text(head + text_format.MessageToString(config), encoding="utf-8")
    return target


def reached(asked: Subject, plan: goodput.Plan, to_beat_hz: float) -> float:
    """The goodput, to within GAIN; 0 when it is below `to_beat_hz`."""
    search = goodput.Search(asked, plan, goodput.alike(asked))
    goodput.capacity(asked)  # warm
    if not (search.accepts(to_beat_hz) and search.accepts(to_beat_hz)):  # one point may be luck
        return 0.0
    for _ in range(MOST_GAINS):
        if not search.accepts(GAIN * to_beat_hz):
            break
        to_beat_hz *= GAIN
    return to_beat_hz


def measure(
    repository: Path,
    workload: Workload,
    payloads: Sequence[Mapping[str, Any]],
    plan: goodput.Plan,
    work: Path,
    knobs: Mapping[str, Knob] = KNOBS,
) -> dict[str, Any]:
    """Search, then the winner and the beginning in turn; `work/tuned` is the winner's repository."""
    once = replace(plan, repeats=1)

    def score(setting: Setting, to_beat_hz: float = 0.0, seed: int = plan.seed) -> float:
        tuned = written(repository, work / "tried", workload.pipeline, setting).resolve()
        with serving.running([workload.pipeline], tuned) as address:
            asked = subject(address.grpc, workload, payloads)
            if to_beat_hz:
                return reached(asked, once, to_beat_hz)
            return float(goodput.measure(asked, replace(once, seed=seed))["goodput_hz"]["median"])

    with tqdm(desc="tune", unit="setting", file=sys.stderr) as bar:

        def counted(setting: Setting, to_beat_hz: float) -> float:
            found = score(setting, to_beat_hz)
            bar.update()
            return found

        best, tried = descend(counted, {name: knob.values for name, knob in knobs.items()})
    seeds = [plan.seed + 1 + number for number in range(plan.repeats)]
    pairs = [(score({}, seed=seed), score(best, seed=seed)) for seed in seeds]
    ratios = [tuned / before if before else 0.0 for before, tuned in pairs]
    result = {
        "plan": asdict(plan),
        "slo_ms": workload.slo_ms,
        "tried": [{"setting": setting, "goodput_hz": found or None} for setting, found in tried],
        "best": best,
        "before_hz": spread([before for before, _ in pairs]),
        "tuned_hz": spread([tuned for _, tuned in pairs]),
        "ratio": spread(ratios),
    }
    written(repository, work / "tuned", workload.pipeline, best, table(result))
    return result


def table(result: Mapping[str, Any]) -> str:
    """The result for a terminal, and for a comment above the configuration."""
    best = ", ".join(f"{name} {value}" for name, value in result["best"].items()) or "as it was"
    return "\n".join(
        [
            f"{len(result['tried'])} settings tried at {result['slo_ms']:g} ms; best: {best}",
            f"goodput {goodput.said(result['before_hz'], '/s')} before, "
            f"{goodput.said(result['tuned_hz'], '/s')} tuned; ratio {goodput.said(result['ratio'])}",
        ]
    )
