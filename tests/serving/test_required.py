"""What must lie in the repository before a pipeline can load."""

from pathlib import Path

import pytest

from serving import required
from serving.releases.record import Member, Pipeline, Release, now
from serving.releases.store import Store
from serving.required import missing_files, models_of, precision_of

ENSEMBLE = """\
name: "{name}"
platform: "ensemble"
ensemble_scheduling {{ step [ {{ model_name: "{first}" }}, {{ model_name: "{second}" }} ] }}
"""


def write(
    repository: Path, name: str, text: str, files: tuple[str, ...] = (), versions: tuple[int, ...] = (1,)
) -> None:
    folder = repository / name
    for version in versions:
        (folder / str(version)).mkdir(parents=True)
        for file in files:
            (folder / str(version) / file).touch()
    (folder / "config.pbtxt").write_text(text)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write(tmp_path, "pipeline", ENSEMBLE.format(name="pipeline", first="weld_gate", second="inner"))
    write(
        tmp_path,
        "inner",
        ENSEMBLE.format(name="inner", first="weld_small_fusion", second="weld_small_preprocess"),
    )
    write(tmp_path, "weld_gate", 'name: "weld_gate"\nbackend: "gate"')
    write(tmp_path, "weld_small_fusion", 'name: "weld_small_fusion"\nbackend: "onnxruntime"', ("model.onnx",))
    write(tmp_path, "weld_small_preprocess", 'name: "weld_small_preprocess"\nbackend: "dali"', ("dali.py",))
    return tmp_path


def test_the_models_of_an_ensemble_are_its_steps_and_theirs(repository):
    assert models_of(repository, ["pipeline", "weld_gate"]) == [
        "pipeline",
        "weld_gate",
        "inner",
        "weld_small_fusion",
        "weld_small_preprocess",
    ]


def test_a_complete_repository_misses_nothing(repository):
    assert missing_files(repository, ["pipeline"]) == []


def test_a_missing_engine_is_named_with_the_command_that_writes_it(repository):
    (repository / "weld_small_fusion" / "1" / "model.onnx").unlink()
    assert missing_files(repository, ["pipeline"]) == [
        "weld_small_fusion/1/model.onnx is missing; run `python -m export weld_small`"
    ]


def test_a_missing_source_is_checked_out_not_exported(repository):
    (repository / "weld_small_preprocess" / "1" / "dali.py").unlink()
    assert missing_files(repository, ["weld_small_preprocess"]) == [
        "weld_small_preprocess/1/dali.py is missing; "
        "run `git checkout -- model_repository/weld_small_preprocess`"
    ]


def test_every_file_of_a_generator_is_exported(repository):
    text = 'name: "visual_question_answering_small_answers"\nbackend: "generator"'
    files = ("answer_decoder.onnx", "caption_decoder.onnx", "reader_encoder.onnx", "reader_decoder.onnx")
    write(repository, "visual_question_answering_small_answers", text, files)
    lost = ("tokenizer.json", "generation.json")
    assert missing_files(repository, ["visual_question_answering_small_answers"]) == [
        f"visual_question_answering_small_answers/1/{name} is missing; "
        "run `python -m export visual_question_answering_small`"
        for name in lost
    ]


def test_a_tokenizer_is_exported(repository):
    write(repository, "vision_language_small_tokenizer", 'backend: "tokenizer"')
    assert missing_files(repository, ["vision_language_small_tokenizer"]) == [
        "vision_language_small_tokenizer/1/tokenizer.json is missing; "
        "run `python -m export vision_language_small`"
    ]


def test_the_files_that_count_are_those_that_the_backends_load(repository):
    folder = Path(required.__file__).parent / "backends"
    for backend, names in required.COMPANIONS.items():
        sources = "".join(path.read_text() for path in (folder / backend).glob("*.py"))
        assert all(f'"{name}"' in sources for name in (required.DEFAULT_FILES[backend], *names))


def test_the_file_that_the_configuration_names_is_the_one_that_counts(repository):
    write(repository, "named", 'name: "named"\nbackend: "onnxruntime"\ndefault_model_filename: "other.onnx"')
    assert missing_files(repository, ["named"]) == [
        "named/1/other.onnx is missing; run `python -m export <preset>`"
    ]


@pytest.mark.parametrize(
    ("policy", "missing"),
    [
        ("", ["10"]),
        ("version_policy { latest { num_versions: 2 } }", ["9", "10"]),
        ("version_policy { all { } }", ["2", "9", "10"]),
        ("version_policy { specific { versions: [ 2, 9 ] } }", ["2", "9"]),
    ],
)
def test_only_the_versions_that_the_policy_serves_must_be_complete(repository, policy, missing):
    write(repository, "many", f'name: "many"\nbackend: "onnxruntime"\n{policy}', versions=(2, 9, 10))
    found = [sentence.split("/")[1] for sentence in missing_files(repository, ["many"])]
    assert found == missing


def test_the_configuration_of_the_target_goes_before_the_general_one(repository):
    special = repository / "weld_gate" / "configs" / "cpu.pbtxt"
    special.parent.mkdir()
    special.write_text('name: "weld_gate"\nbackend: "onnxruntime"')
    assert missing_files(repository, ["weld_gate"], "gpu") == []
    assert len(missing_files(repository, ["weld_gate"], "cpu")) == 1


def test_a_mistyped_pipeline_gets_the_name_that_was_meant(repository):
    with pytest.raises(ValueError, match=r"pipelin: expected a model of .*; did you mean pipeline\?"):
        models_of(repository, ["pipelin"])


def test_a_configuration_that_does_not_parse_is_named(repository):
    (repository / "weld_gate" / "config.pbtxt").write_text("nonsense {")
    with pytest.raises(ValueError, match=r"weld_gate/config\.pbtxt: expected a Triton model configuration"):
        models_of(repository, ["weld_gate"])


def test_of_a_pipeline_with_releases_the_active_versions_count_not_the_newest(repository):
    for version in ("2", "3"):
        (repository / "weld_small_fusion" / version).mkdir()
    members = {"weld_gate": Member(1), "weld_small_fusion": Member(1), "weld_small_preprocess": Member(1)}
    release = Release(4, "released", members, (), "", "", "", now())
    store = Store(repository)
    store.write("pipeline", Pipeline("cpu", 4, None, {4: release}, {}))
    assert missing_files(repository, ["pipeline"]) == []
    (repository / "weld_small_fusion" / "1" / "model.onnx").unlink()
    assert missing_files(repository, ["pipeline"]) == [
        "weld_small_fusion/1/model.onnx is missing, and release 4 of pipeline is live with it; put it back, "
        "or move releases.json away to serve the newest version folders"
    ]


def test_a_pipeline_is_as_precise_as_the_least_precise_of_its_models(tmp_path):
    step = 'step [ {{ model_name: "{}" }} ]'
    steps = f"ensemble_scheduling {{ {step.format('one')} {step.format('two')} }}"
    write(tmp_path, "both", f'name: "both" platform: "ensemble" {steps}')
    write(tmp_path, "one", 'name: "one"\nbackend: "onnxruntime"')
    hint = 'parameters { key: "HINT_BF16" value { string_value: "YES" } }'
    write(tmp_path, "two", f'name: "two"\nbackend: "openvino"\n{hint}')
    assert [precision_of(tmp_path, name) for name in ("both", "one", "two")] == ["bf16", "fp32", "bf16"]
