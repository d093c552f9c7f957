"""A search is made once for the same engines, and again for others; tasks are declared."""

import json
import subprocess
import sys

import pytest

from export import contract, manifest
from export.budgets import BUDGETS, PRECISION_BUDGETS, precision_budget_of
from export.pipelines import PIPELINES
from export.precision import records
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


def remember(engines, repository):
    key = records._key("tiny", engines, repository)
    models = {"tiny_fusion": {"chosen": {"precision": "bf16", "engine": "tensorrt", "keep": []}}}
    (engines / "precision_rtx_plans.json").write_text(json.dumps({"key": key, "models": models}))
    return models


def test_the_same_engines_are_not_searched_again(engines):
    models = remember(*engines)
    assert records.record_of("tiny", *engines, "rtx") == models


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
    assert apart - {"export/budgets.py"} == {name for name in read if name.startswith(records.SEARCH)}


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
