import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from export import manifest
from export.contract import load


@pytest.fixture
def recipe(repository):
    return manifest.recipe(load(repository, "tiny_fusion"), "tiny", "0" * 64)


@pytest.fixture
def folder(tmp_path, recipe):
    folder = tmp_path / "1"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"graph")
    manifest.write(folder, recipe, 1, [{"output": "probabilities", "ok": True}])
    return folder


def test_a_manifest_says_what_lies_there_and_what_it_was_made_from(folder, recipe):
    read = manifest.read(folder)
    assert read["files"] == {
        "model.onnx": {"sha256": manifest.sha256(folder / "model.onnx"), "bytes": 5},
    }
    assert (read["model"], read["version"], read["preset"]) == ("tiny_fusion", 1, "tiny")
    assert (read["weights_sha256"], read["contract_sha256"]) == ("0" * 64, recipe.contract_sha256)
    assert set(read["versions"]) == {"python", *manifest.PACKAGES}
    assert "missing" not in read["versions"].values()
    assert set(read["git"]) == {"commit", "dirty"}
    assert read["created_utc"].endswith("+00:00")
    assert read["parity"] == [{"output": "probabilities", "ok": True}]


def test_a_folder_that_holds_what_its_manifest_says_verifies(folder, recipe):
    assert manifest.verify(folder) == []
    assert manifest.is_current(folder, recipe)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"grap", "expected 5 bytes, got 4"),
        (b"grapH", "expected sha256 .*, got another"),
        (None, "found no file"),
    ],
)
def test_a_file_that_changed_is_named(folder, recipe, content, sentence):
    file = folder / "model.onnx"
    file.unlink() if content is None else file.write_bytes(content)
    (fault,) = manifest.verify(folder)
    assert fault.startswith(str(file))
    assert re.search(sentence, fault)
    assert not manifest.is_current(folder, recipe)


@pytest.mark.parametrize("text", [None, "half a manif", "[]", "{}"])
def test_a_folder_without_a_whole_manifest_is_not_current(folder, recipe, text):
    path = folder / manifest.FILE
    path.unlink() if text is None else path.write_text(text)
    assert len(manifest.verify(folder)) == 1
    assert not manifest.is_current(folder, recipe)


@pytest.mark.parametrize(
    "change",
    [
        {"weights_sha256": "1" * 64},
        {"contract_sha256": "1" * 64},
        {"sources_sha256": "1" * 64},
        {"versions": {"python": "3.99"}},
    ],
)
def test_another_ingredient_makes_the_export_stale(folder, recipe, change):
    assert not manifest.is_current(folder, replace(recipe, **change))


def test_a_figure_that_json_cannot_say_is_refused(tmp_path, recipe):
    folder = tmp_path / "2"
    folder.mkdir()
    with pytest.raises(ValueError, match="JSON"):
        manifest.write(folder, recipe, 1, [{"max_abs": float("nan")}])


def test_a_manifest_is_json_and_ends_with_a_newline(folder):
    text = (folder / manifest.FILE).read_text()
    assert text.endswith("}\n")
    assert json.loads(text)["version"] == 1


def test_a_model_with_classes_says_in_which_order(folder, recipe):
    described = manifest.describe(recipe, None, [folder / "model.onnx"], [], ("Good", "Crack"))
    assert (described["class_names"], described["version"]) == (["Good", "Crack"], None)
    assert "class_names" not in manifest.read(folder)


WITHOUT_THEM = """
import sys, types
from pathlib import Path

sys.modules["export.precision"] = None  # importing it, or a part of it, is an ImportError
sys.modules["export.cpu_engines"] = types.ModuleType("export.cpu_engines")  # has nothing to call

from export import artefacts, contract, engines
from export.jobs import Job

repository, out = map(Path, sys.argv[1:])
promised = contract.load(repository, "tiny_sensor_encoder")
engines.write_graphs(engines.served_module("tiny", promised.name, None), promised, out)
words = "visual_question_answering_tiny"
artefacts.export_model(Job(words, f"{words}_tokenizer", None, repository, out / "tokens"))
artefacts.export_model(Job(words, f"{words}_answers", None, repository, out / "answers"))
print(*sorted(file.relative_to(out) for file in out.rglob("*") if file.is_file()))
"""


@pytest.mark.slow
def test_no_code_of_precisions_or_of_running_engines_takes_part_in_writing_a_graph(repository, tmp_path):
    assert {"export/precision/", "export/cpu_engines.py"} < set(manifest.APART)
    out = tmp_path / "out"
    out.mkdir()
    command = [sys.executable, "-c", WITHOUT_THEM, str(repository), str(out)]
    ran = subprocess.run(command, cwd=manifest.ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert {"model.onnx", "dense.onnx", "tokens/tokenizer.json"} < {*ran.stdout.split()}
    assert "answers/reader_encoder.onnx" in ran.stdout.split()


def test_sources_are_files_and_folders_of_python(tmp_path):
    whole = manifest.sources_sha256(("export/precision", "export/cpu_engines.py"), apart=())
    assert manifest.sources_sha256(("export/precision",), apart=()) != whole
    without = manifest.sources_sha256(("export/precision",), apart=("export/cpu_engines.py",))
    assert without == manifest.sources_sha256(("export/precision",), apart=())
    assert whole == manifest.sources_sha256(("export/cpu_engines.py", "export/precision"), apart=())


def test_a_budget_that_is_tuned_leaves_every_engine_current():
    for name in manifest.APART:
        assert (manifest.ROOT / name).exists()
