"""A search is made once for the same engines, and again for others; tasks are declared."""

import json
import subprocess
import sys

import numpy as np
import pytest

from export import contract, manifest
from export.budgets import BUDGETS, PRECISION_BUDGETS, precision_budget_of
from export.pipelines import PIPELINES
from export.precision import calibration, records
from export.precision.candidates import Candidate
from export.precision.search import Found, Trial
from export.precision.tasks import CALIBRATION, TASKS, spread, task_of

from ..conftest import write_repository


@pytest.fixture
def engines(tmp_path):
    """Folders with the manifests of the tiny preset's networks, their graphs left out."""
    repository = write_repository(tmp_path / "models")
    for one in records.networks("tiny", repository):
        folder = tmp_path / "engines" / one.name
        folder.mkdir(parents=True)
        manifest.write(folder, manifest.recipe(one, "tiny", "0" * 64), None, [])
    return tmp_path / "engines", repository


def remember(engines, repository, precision="bf16", file="auto", **more):
    key = records.key_of("tiny", engines, repository, "rtx")
    chosen = {"precision": precision, "engine": "tensorrt", "keep": []}
    models = {"tiny_fusion": {"chosen": chosen, **more}}
    (engines / f"precision_rtx_{file}.json").write_text(json.dumps({"key": key, "models": models}))
    return models


def test_the_same_engines_are_not_searched_again(engines):
    models = remember(*engines)
    assert records.record_of("tiny", *engines, "rtx") == models


def test_a_search_of_one_precision_is_another_search(engines):
    models = remember(*engines, precision="int8", file="int8")
    assert records.record_of("tiny", *engines, "rtx", "int8") == models
    with pytest.raises(FileNotFoundError, match="expected an engine in fp32, found none"):
        records.record_of("tiny", *engines, "rtx")


def test_what_was_calibrated_on_inputs_that_are_gone_or_changed_is_searched_again(engines):
    folder, repository = engines
    file = calibration.file_of(folder, "tiny_fusion")
    file.parent.mkdir()
    np.savez(file, **{"ranges/x": np.arange(3), "judged/x": np.arange(2)})
    models = remember(*engines, precision="int8", calibration=calibration.described(file))
    assert records.record_of("tiny", folder, repository, "rtx") == models
    np.savez(file, **{"ranges/x": np.arange(1, 4), "judged/x": np.arange(2)})
    with pytest.raises(FileNotFoundError, match="expected an engine in fp32, found none"):
        records.record_of("tiny", folder, repository, "rtx")
    file.unlink()
    with pytest.raises(FileNotFoundError, match="expected an engine in fp32, found none"):
        records.record_of("tiny", folder, repository, "rtx")


def test_a_precision_that_an_engine_does_not_bear_is_refused_and_auto_is_named():
    def trial(model, precision, *faults):
        return Trial(model, Candidate(precision, "tensorrt"), 0.2, "y", {}, None, faults)

    trials = [trial("a", "int8"), trial("b", "int8", "y 0.200 apart of 0.1"), trial("b", "fp32")]
    choices = {"a": trials[0].candidate, "b": trials[2].candidate}
    found = Found(choices, trials, trial("together", "int8"), {}, 8)
    records._refuse_others(found, "auto")
    with pytest.raises(LookupError, match=r"in int8, got b \(y 0.200 apart of 0.1\); ask for auto"):
        records._refuse_others(found, "int8")


def test_engines_of_other_weights_are(engines):
    folder, repository = engines
    remember(folder, repository)
    fusion = contract.load(repository, "tiny_fusion")
    manifest.write(folder / "tiny_fusion", manifest.recipe(fusion, "tiny", "1" * 64), None, [])
    with pytest.raises(
        FileNotFoundError, match=r"expected an engine in fp32, found none; run `python -m export"
    ):
        records.record_of("tiny", folder, repository, "rtx")


def test_the_key_of_a_search_knows_all_code_that_no_recipe_of_a_graph_does():
    script = "import sys, export.precision.records; print(*(m for m in sys.modules if m[:7] == 'export.'))"
    ran = subprocess.run([sys.executable, "-c", script], cwd=manifest.ROOT, capture_output=True, text=True)
    names = [name.replace(".", "/") for name in ran.stdout.split()]
    read = {f"{name}.py" for name in names if (manifest.ROOT / f"{name}.py").is_file()}
    apart = {name for name in read if name.startswith(manifest.APART)}
    assert "export/precision/search.py" in apart
    judging = {"export/budgets.py", "export/tolerances.py"}  # the key has the budget, no search a tolerance
    assert apart - judging == {name for name in read if name.startswith(records.SEARCH)}


def test_the_manifest_says_what_was_tried(engines):
    folder, repository = engines
    made = manifest.recipe(contract.load(repository, "tiny_fusion"), "tiny", "0" * 64)
    manifest.write(folder / "tiny_fusion", made, None, [], precision={"chosen": {"precision": "bf16"}})
    assert manifest.read(folder / "tiny_fusion")["precision_search"] == {"chosen": {"precision": "bf16"}}


def test_every_pipeline_has_a_task_and_a_precision_budget():
    assert set(TASKS) == set(PIPELINES) == set(PRECISION_BUDGETS) == set(BUDGETS)
    with pytest.raises(
        ValueError, match="smell: expected a precision budget, there are some for weld_inspection"
    ):
        precision_budget_of("smell")
    with pytest.raises(ValueError, match=r"smell: expected a preset of .*; declare its task"):
        task_of("smell")


def test_items_are_spread_over_all_there_are():
    assert spread(range(10), 4) == [0, 3, 6, 9]
    assert spread(range(3), 4) == [0, 1, 2]


@pytest.mark.slow
def test_photos_and_texts_are_calibrated_and_judged_on_different_questions(tmp_path):
    task = task_of("vision_language_small", tmp_path, items=20)
    assert task.judged["image_pixels"].shape == (20, 1, 64, 64, 3)
    assert len(task.calibration["input_ids"]) == CALIBRATION
    wrong = {"answer_probabilities": -task.judged["input_ids"][:, :13]}
    assert 0 <= task.figures(wrong)["accuracy"] <= 1
