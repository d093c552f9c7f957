import json

import pytest
import torch

from export import manifest
from export.__main__ import main
from export.pipelines import PRESETS as EXPORTED
from export.pipelines import model_names
from multimodal.build import build, save_weights
from multimodal.presets import PRESETS
from multimodal.quality_build import build_quality, save_quality_weights
from multimodal.quality_presets import QUALITY_PRESETS
from multimodal.vision_language.presets import VISION_LANGUAGE_PRESETS

pytestmark = pytest.mark.slow

MODEL = "tiny_sensor_encoder"


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(3)
    return save_weights(build(PRESETS["tiny"]), tmp_path / "tiny.safetensors")


@pytest.fixture
def export(repository, weights):
    def export(*extra: str, file=weights) -> int:
        return main(
            ["tiny", "--weights", str(file), "--repository", str(repository), "--only", MODEL, *extra]
        )

    return export


def test_a_model_is_exported_proven_and_described_and_the_second_run_does_nothing(
    export, repository, weights, capsys
):
    version = repository / MODEL / "1"
    assert export() == 0
    out, err = capsys.readouterr()
    assert out == f"{repository}\n"
    assert f"{MODEL}  dense.onnx  sensor_tokens" in err
    assert f"{MODEL}: version 1 published" in err
    assert {file.name for file in version.iterdir()} == {"model.onnx", "dense.onnx", "manifest.json"}
    assert manifest.verify(version) == []
    described = manifest.read(version)
    assert described["weights_sha256"] == manifest.sha256(weights)
    assert all(row["ok"] for row in described["parity"])

    written = {file: file.stat().st_mtime_ns for file in version.iterdir()}
    assert export() == 0
    assert f"{MODEL}: nothing changed" in capsys.readouterr().err
    assert {file: file.stat().st_mtime_ns for file in version.iterdir()} == written


def test_a_weight_that_is_not_a_number_publishes_nothing(export, repository, tmp_path, capsys):
    model = build(PRESETS["tiny"])
    with torch.no_grad():
        next(model.encoders["sensor"].parameters()).fill_(float("nan"))
    assert export(file=save_weights(model, tmp_path / "broken.safetensors")) == 1
    out, err = capsys.readouterr()
    assert "PyTorch's answer is not finite" in err
    assert "nothing was published" in err
    assert out == ""
    assert not (repository / MODEL / "1").exists()
    assert list((repository.parent / "build" / "export").iterdir()) == []


def test_a_set_for_a_release_goes_beside_the_repository_and_has_no_version_yet(
    export, repository, tmp_path, capsys
):
    out = tmp_path / "candidate"
    assert export("--out", str(out)) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert {file.name for file in (out / MODEL).iterdir()} == {"model.onnx", "dense.onnx", "manifest.json"}
    assert manifest.read(out / MODEL)["version"] is None
    assert not (repository / MODEL / "1").exists()
    assert [path.name for path in tmp_path.glob(".candidate*")] == []
    assert export("--out", str(out)) == 0
    assert f"{MODEL}: nothing changed" in capsys.readouterr().err


def test_version_1_is_left_alone_while_a_release_serves_it(export, repository, tmp_path, capsys):
    assert export() == 0
    written = manifest.read(repository / MODEL / "1")
    member = {
        "version": 1,
        "files": {name: entry["sha256"] for name, entry in written["files"].items()},
        "weights_sha256": written["weights_sha256"],
    }
    record = {
        "active": 1,
        "previous": None,
        "releases": {"1": {"state": "released", "members": {MODEL: member}}},
    }
    (repository / "releases.json").write_text(json.dumps({"schema": 1, "pipelines": {"tiny": record}}))

    torch.manual_seed(4)
    other = save_weights(build(PRESETS["tiny"]), tmp_path / "other.safetensors")
    capsys.readouterr()
    assert export(file=other) == 1
    assert "use --out FOLDER, then `python -m serving release prepare tiny" in capsys.readouterr().err
    assert manifest.verify(repository / MODEL / "1") == []
    assert export("--force") == 0, "the same engine again changes nothing"


def test_missing_weights_say_how_to_get_them(export, tmp_path, capsys):
    assert export(file=tmp_path / "none.safetensors") == 1
    assert "none.safetensors: expected the weights of tiny, found no file" in capsys.readouterr().err


def test_a_folder_that_is_no_repository_is_refused(tmp_path, capsys):
    assert main(["tiny", "--weights", "random", "--repository", str(tmp_path / "nowhere")]) == 1
    assert "nowhere: expected a model repository, found no folder" in capsys.readouterr().err


def test_a_repository_without_the_presets_models_is_refused(tmp_path, capsys):
    assert main(["tiny", "--weights", "random", "--repository", str(tmp_path)]) == 1
    assert "tiny_video_encoder: expected" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (["tinny"], f"preset: expected one of {', '.join(EXPORTED)}, got tinny; did you mean tiny?"),
        (["tiny", "--fusion", "gated"], "--fusion: expected none, as tiny has one fusion, got gated"),
        (["tiny", "--only", "tiny_fussion"], "got tiny_fussion; did you mean tiny_fusion?"),
    ],
)
def test_a_mistyped_name_exits_with_two_and_offers_the_right_one(typed, sentence, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(typed)
    assert stopped.value.code == 2
    assert sentence in " ".join(capsys.readouterr().err.split())


def test_every_preset_names_four_encoders_and_a_head():
    assert sorted(model_names("tiny")) == [
        "tiny_audio_encoder",
        "tiny_fusion",
        "tiny_image_encoder",
        "tiny_sensor_encoder",
        "tiny_video_encoder",
    ]


def test_the_presets_of_every_pipeline_are_exported_by_the_same_command():
    assert list(EXPORTED)[:4] == ["weld_base", "weld_small", "tiny", "video_quality_unified"]
    assert model_names("video_quality_optimised") == (
        "video_quality_optimised_encoder",
        "video_quality_optimised_fusion",
    )


def test_all_engines_of_a_quality_preset_are_exported_and_another_fusion_is_another_engine(
    repository, tmp_path, capsys
):
    tiny = QUALITY_PRESETS["video_quality_tiny"]
    models = {}
    for name in ("gated", "pyramid"):
        torch.manual_seed(3)
        models[name] = build_quality(tiny, fusion=name)
    weights = save_quality_weights(models["gated"], models, tmp_path / "quality.safetensors")
    typed = [tiny.name, "--weights", str(weights), "--repository", str(repository)]
    assert main(typed) == 0
    folders = {name: repository / name / "1" for name in model_names(tiny.name)}
    assert [manifest.verify(folder) for folder in folders.values()] == [[], [], []]
    written = {name: manifest.read(folder) for name, folder in folders.items()}
    assert [read.get("fusion") for read in written.values()] == [None, None, "gated"]

    capsys.readouterr()
    assert main([*typed, "--fusion", "pyramid"]) == 0
    said = capsys.readouterr().err
    assert said.count("nothing changed") == 2, "encoders are the same whichever fusion reads them"
    assert manifest.read(folders[f"{tiny.name}_fusion"])["fusion"] == "pyramid"

    assert main([*typed, "--fusion", "multi_level"]) == 1
    assert "expected a head for the fusion multi_level" in capsys.readouterr().err


def test_a_mistyped_fusion_exits_with_two_and_offers_the_right_one(repository, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["video_quality_tiny", "--fusion", "piramid", "--repository", str(repository)])
    assert stopped.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "--fusion: expected one of vector_cross_attention," in said
    assert "got piramid; did you mean pyramid?" in said


def test_a_tokenizer_is_described_like_an_engine_and_written_once(repository, tmp_path, capsys):
    name, length = "vision_language_tiny", 16
    only = [f"{name}_tokenizer", f"{name}_fusion"]
    typed = [name, "--weights", "random", "--repository", str(repository), "--only", *only]
    assert main(typed) == 0
    written = [manifest.read(repository / model / "1") for model in only]
    assert [list(one["files"]) for one in written] == [["tokenizer.json"], ["dense.onnx", "model.onnx"]]
    assert [manifest.verify(repository / model / "1") for model in only] == [[], []]
    assert [one.get("fusion") for one in written] == [None, "mlp"]
    assert written[1]["class_names"] == list(VISION_LANGUAGE_PRESETS[name].class_names)
    assert written[0]["parity"] == []
    told = json.loads((repository / only[0] / "1" / "tokenizer.json").read_text())
    assert (told["truncation"]["max_length"], told["padding"]["strategy"]) == (length, {"Fixed": length})

    capsys.readouterr()
    assert main(typed) == 0
    assert capsys.readouterr().err.count("nothing changed") == 2
    (repository / only[0] / "1" / "tokenizer.json").write_text("{}")
    assert main(typed) == 0
    assert capsys.readouterr().err.count("nothing changed") == 1, "a file that was edited is written again"
