"""A search over the engines of one preset, and its record: made once for the same engines and budget."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx
from tqdm import tqdm

from export import contract, cpu_engines, manifest
from export.budgets import precision_budget_of
from export.contract import Contract
from export.parity import onnx_runtime
from export.pipelines import model_names, pipeline_of
from export.precision import calibration
from export.precision.candidates import Bench, Candidate, possible
from export.precision.chain import Chain
from export.precision.search import Found, Search, Trial
from export.precision.tasks import Task, task_of

SERVED = "model.onnx"
SEARCH = ("export/precision", "export/cpu_engines.py")  # what no graph's recipe says of how one is found
NETWORKS = ("onnxruntime", "openvino")  # backends whose models are one graph each


def record_of(
    preset: str, engines: Path, repository: Path, target: str, precision: str = "auto"
) -> Mapping[str, Mapping[str, Any]]:
    """Model -> what a search found for a target; an earlier one's file if nothing changed.

    engines: a folder of `python -m export --out`, whose manifests say what they are
    precision: the only one that may be chosen, with as many parts in fp32 as it needs; auto for all
    The real inputs of engines that are chosen in int8 are left there too, see `export.precision.calibration`.
    errors: LookupError where nothing chosen together is within budget, or an engine in that precision is not
    """
    path = engines / f"precision_{target}_{precision}.json"
    key = key_of(preset, engines, repository, target)
    kept = json.loads(path.read_text()) if path.is_file() else {}
    if kept.get("key") == key and _calibrated(kept["models"], engines):
        return kept["models"]
    engines_of(preset, engines, repository)
    task = task_of(preset, engines=engines)
    candidates = [one for one in possible(target) if precision in ("auto", one.precision)]
    found = searched(preset, engines, repository, task, candidates)
    _refuse_others(found, precision)
    if not found.together.ok:
        raise LookupError(
            f"{preset}: expected engines within budget, got {'; '.join(found.together.faults)}; ask for fp32"
        )
    low = [model for model, one in found.choices.items() if one.precision == "int8"]
    real = _calibrate(preset, engines, repository, task, low)
    models = {model: found.record(model) | real.get(model, {}) for model in found.choices}
    path.write_text(json.dumps({"key": key, "models": models}, indent=1) + "\n")
    return models


def _refuse_others(found: Found, precision: str) -> None:
    """LookupError where an engine needs another precision than the one that was asked for."""
    others = [model for model, one in found.choices.items() if precision not in ("auto", one.precision)]
    if others:
        faults = [f"{model} ({'; '.join(found.first_of(model).faults)})" for model in others]
        raise LookupError(
            f"expected every engine within budget in {precision}, got {', '.join(faults)}; ask for auto"
        )


def _calibrate(
    preset: str, engines: Path, repository: Path, task: Task, models: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Model -> the part of its record that says what its int8 is calibrated on."""
    if not models:
        return {}
    chain, files = Chain(networks(preset, repository)), engines_of(preset, engines, repository)
    runs = {model: onnx_runtime(file) for model, file in files.items()}
    written = calibration.write(chain, runs, task, engines, models)
    return {model: {"calibration": said} for model, said in written.items()}


def _calibrated(models: Mapping[str, Mapping[str, Any]], engines: Path) -> bool:
    """Whether the real inputs that a record speaks of are still there."""
    return all(
        calibration.is_whole(calibration.file_of(engines, model), said["calibration"])
        for model, said in models.items()
        if "calibration" in said
    )


def key_of(preset: str, engines: Path, repository: Path, target: str) -> str:
    """sha256 of the engines' recipes, the budget, the code that searches, and what measures speeds."""
    recipes = [manifest.read(engines / name)["recipe_sha256"] for name in model_names(preset)]
    budget = asdict(precision_budget_of(pipeline_of(preset)))
    code = manifest.sources_sha256(SEARCH, apart=())
    processor = cpu_engines.processor() if target == "cpu" else ""
    return hashlib.sha256(json.dumps([recipes, budget, code, processor]).encode()).hexdigest()


def engines_of(preset: str, engines: Path, repository: Path) -> dict[str, Path]:
    """Model -> its fp32 graph; FileNotFoundError where one is missing."""
    files = {one.name: engines / one.name / SERVED for one in networks(preset, repository)}
    for file in files.values():
        if not file.is_file():
            raise FileNotFoundError(
                f"{file}: expected an engine in fp32, found none; run `python -m export {preset} --out "
                f"{engines}`"
            )
    return files


def searched(
    preset: str, engines: Path, repository: Path, task: Task, candidates: Sequence[Candidate]
) -> Found:
    """Search the precisions of a preset whose fp32 engines lie in `engines`/MODEL/model.onnx.

    errors: FileNotFoundError where an engine is missing
    """
    with search_of(preset, engines, repository, task, candidates) as search:
        return search.found()


@contextlib.contextmanager
def search_of(
    preset: str, engines: Path, repository: Path, task: Task, candidates: Sequence[Candidate]
) -> Iterator[Search]:
    """A search that has not begun, and may be asked for single trials; its files are gone afterwards.

    errors: FileNotFoundError where an engine is missing
    """
    chain = Chain(networks(preset, repository))
    files = engines_of(preset, engines, repository)
    known = chain.answers({model: onnx_runtime(file) for model, file in files.items()}, task.calibration)
    with tempfile.TemporaryDirectory() as folder, _bar(chain, len(candidates)) as bar:
        benches = {
            one.name: Bench(one, onnx.load(files[one.name]), known, Path(folder)) for one in chain.contracts
        }
        budget = precision_budget_of(pipeline_of(preset))
        yield Search(chain, benches, task, budget, candidates, lambda trial: _tell(bar, trial))


def networks(preset: str, repository: Path) -> list[Contract]:
    """Contracts of the models of a preset that are one graph each."""
    contracts = [contract.load(repository, model) for model in model_names(preset)]
    return [one for one in contracts if one.engine in NETWORKS]


def _bar(chain: Chain, candidates: int) -> tqdm:
    return tqdm(total=len(chain.models) * candidates + 1, desc="precision", unit="trial", file=sys.stderr)


def _tell(bar: tqdm, trial: Trial) -> None:
    bar.set_postfix_str(f"{trial.model} {trial.candidate}")
    if bar.n < (bar.total or 0):  # steps back and parts kept come on top
        bar.update()
