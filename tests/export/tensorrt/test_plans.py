"""The command that ends in a plan: what it writes, when it builds again and when not."""

import json
from dataclasses import replace

import pytest

from export import contract, manifest, plans
from export.__main__ import main
from export.targets import Order
from multimodal.build import build, save_weights
from multimodal.presets import PRESETS

pytestmark = pytest.mark.slow

MODEL = "tiny_sensor_encoder"
FILES = {"model.onnx", "dense.onnx", "manifest.json"}


@pytest.fixture
def weights(tmp_path):
    import torch

    torch.manual_seed(3)
    return save_weights(build(PRESETS["tiny"]), tmp_path / "tiny.safetensors")


@pytest.fixture
def export(repository, weights, tmp_path):
    """Run the command for RTX into a folder; extra words change it."""
    out = tmp_path / "rtx"

    def export(*extra: str, target: str = "rtx") -> int:
        typed = ["tiny", "--weights", str(weights), "--repository", str(repository), "--only", MODEL]
        return main([*typed, "--out", str(out), "--target", target, *extra])

    export.folder = out / MODEL
    return export


def written(folder):
    return {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}


def test_a_plan_is_proven_built_and_described_and_the_same_is_never_built_twice(export, capsys):
    assert export() == 0
    said = capsys.readouterr().err
    assert f"{MODEL}: model.rtx: tensorrt_rtx 1." in said
    assert "batches 1-1-1, 1-8-8" in said
    assert {file.name for file in export.folder.iterdir()} == FILES | {"model.rtx", "model.rtx.json"}
    assert manifest.verify(export.folder) == []
    read = manifest.read(export.folder)
    assert (read["target"], read["precision"]) == ("rtx", "fp32")
    assert read["engine"].startswith("tensorrt_rtx 1.")
    assert json.loads(read["build"])["profiles"][-1]["batch"] == {"minimum": 1, "optimum": 8, "maximum": 8}
    assert manifest.recipe_of(read).digest == read["recipe_sha256"] != read["graphs_sha256"]

    before = written(export.folder)
    assert export() == 0
    assert f"{MODEL}: nothing changed" in capsys.readouterr().err
    assert export(target="cpu") == 0, "its graphs are those of a processor's export"
    assert f"{MODEL}: nothing changed" in capsys.readouterr().err
    assert written(export.folder) == before

    (export.folder / "model.rtx").write_bytes(b"another plan")
    assert export() == 0
    assert "nothing changed" not in capsys.readouterr().err
    assert manifest.verify(export.folder) == []


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_lower_precision_is_another_plan_and_compared_before_it_is_built(export, capsys, precision):
    assert export("--precision", precision) == 0
    said = capsys.readouterr().err
    assert f"{MODEL}  dense_{precision}.onnx  sensor_tokens" in said
    plan = json.loads((export.folder / "model.rtx.json").read_text())
    types = plan["network"]["types"]
    assert plan["precision"] == precision
    assert types[{"bf16": "BF16", "fp16": "HALF"}[precision]] > 0
    rows = {row["engine"]: row for row in manifest.read(export.folder)["parity"]}
    assert set(rows) == {"model.onnx", "dense.onnx", f"dense_{precision}.onnx"}
    assert rows[f"dense_{precision}.onnx"]["max_abs"] > rows["dense.onnx"]["max_abs"]


@pytest.fixture
def graphs(repository):
    return manifest.recipe(contract.load(repository, MODEL), "tiny", "0" * 64)


def changed_section(repository, before, after):
    path = repository / MODEL / "config.pbtxt"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_a_recipe_of_a_plan_knows_its_graphs(repository, graphs):
    planned = plans.with_plan(graphs, contract.load(repository, MODEL, "gpu"), Order("rtx"))
    assert planned.digest != graphs.digest
    assert planned.graphs == graphs


@pytest.mark.parametrize(
    "field", ["target", "precision", "engine", "device", "build", "builder_sha256", "weights_sha256"]
)
def test_another_ingredient_makes_a_plan_stale(repository, graphs, tmp_path, field):
    made = plans.with_plan(graphs, contract.load(repository, MODEL, "gpu"), Order("rtx"))
    assert getattr(made, field)
    folder = tmp_path / "1"
    folder.mkdir()
    (folder / "model.rtx").write_bytes(b"plan")
    manifest.write(folder, made, 1, [])
    assert manifest.is_current(folder, made)
    assert not manifest.is_current(folder, replace(made, **{field: "other"}))


def test_other_profiles_in_the_configuration_make_a_plan_stale(repository, graphs):
    def digest():
        return plans.with_plan(graphs, contract.load(repository, MODEL, "gpu"), Order("rtx")).digest

    before = digest()
    changed_section(repository, "preferred_batch_size: [ 8 ]", "preferred_batch_size: [ 6 ]")
    assert digest() != before


def test_what_no_gpu_runs_has_no_plan(repository):
    served = {
        folder.name: plans.has_plan(repository, folder.name, "gpu") for folder in sorted(repository.iterdir())
    }
    assert served[MODEL]
    assert not served["vision_language_tiny_tokenizer"]
    assert not served["visual_question_answering_tiny_answers"]
    assert not plans.has_plan(repository, MODEL, "cpu")


@pytest.mark.parametrize(
    ("precision", "reason"),
    [("int8", "whose ranges say nothing of trained ones"), ("auto", "which no precision hurts")],
)
def test_what_a_task_decides_is_refused_for_random_weights(repository, tmp_path, capsys, precision, reason):
    typed = ["tiny", "--weights", "random", "--repository", str(repository), "--out", str(tmp_path / "rtx")]
    assert main([*typed, "--target", "rtx", "--precision", precision]) == 1
    said = capsys.readouterr().err
    assert f"--precision {precision}: expected trained weights, got random ones, {reason}" in said


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        (["--target", "rtx"], "--target rtx: expected --out FOLDER, as Triton cannot run its engines"),
        (["--target", "tpu"], "argument --target: invalid choice: 'tpu'"),
        (["--build", "fast"], "argument --build: invalid choice: 'fast'"),
    ],
)
def test_a_mistyped_target_exits_with_two(repository, capsys, extra, sentence):
    with pytest.raises(SystemExit) as stopped:
        main(["tiny", "--weights", "random", "--repository", str(repository), *extra])
    assert stopped.value.code == 2
    assert sentence in " ".join(capsys.readouterr().err.split())


def test_a_target_whose_package_is_missing_is_one_sentence(export, capsys):
    try:
        import tensorrt  # noqa: F401
    except ImportError:
        assert export(target="gpu") == 1
        assert "export: gpu: expected the Python package tensorrt, got" in capsys.readouterr().err
    else:
        pytest.skip("tensorrt is installed here")
