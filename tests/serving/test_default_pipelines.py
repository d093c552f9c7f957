"""What `start` serves when nobody says: whatever was exported, and a sentence about the rest."""

from pathlib import Path

import pytest

from serving import control
from serving.releases.record import Member, Pipeline, Release, now
from serving.releases.store import Store
from serving.required import never_exported

STEPS = {
    "weld_inspection": ("weld_gate", "weld_small_video_encoder", "weld_small_fusion"),
    "video_quality": ("video_quality_gate", "video_quality_small_encoder", "video_quality_small_fusion"),
}
NO_QUALITY = "video_quality is not exported yet; run `python -m export video_quality_small`"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Both pipelines as a fresh checkout has them: configurations and no engine."""
    for pipeline, (gate, *engines) in STEPS.items():
        steps = ", ".join(f'{{ model_name: "{name}" }}' for name in STEPS[pipeline])
        texts = {pipeline: f'platform: "ensemble"\nensemble_scheduling {{ step [ {steps} ] }}'}
        texts |= {gate: 'backend: "gate"'} | dict.fromkeys(engines, 'backend: "onnxruntime"')
        for name, text in texts.items():
            (tmp_path / name / "1").mkdir(parents=True)
            (tmp_path / name / "config.pbtxt").write_text(f'name: "{name}"\n{text}')
    return tmp_path


def export(repository: Path, pipeline: str) -> None:
    for engine in STEPS[pipeline][1:]:
        (repository / engine / "1" / "model.onnx").touch()


def sentences(repository: Path, *pipelines: str) -> list[str]:
    return control.missing_sentences(control.options(pipelines, repository, control.Ports()))


def test_both_are_served_when_both_are_exported(repository):
    for pipeline in STEPS:
        export(repository, pipeline)
    assert control.default_pipelines(repository) == (("weld_inspection", "video_quality"), ())
    assert sentences(repository, *STEPS) == []


@pytest.mark.parametrize(
    ("exported", "about_the_other"),
    [
        ("weld_inspection", NO_QUALITY),
        ("video_quality", "weld_inspection is not exported yet; run `python -m export weld_small`"),
    ],
)
def test_who_exported_one_gets_that_one_and_learns_of_the_other(repository, exported, about_the_other):
    export(repository, exported)
    assert control.default_pipelines(repository) == ((exported,), (about_the_other,))
    assert control.options(None, repository, control.Ports()).pipelines == (exported,)


def test_a_fresh_checkout_is_told_one_command_per_pipeline(repository):
    assert control.default_pipelines(repository) == (("weld_inspection", "video_quality"), ())
    assert sentences(repository, *STEPS) == [
        "weld_inspection is not exported yet; run `python -m export weld_small`",
        NO_QUALITY,
    ]


def test_a_pipeline_that_was_asked_for_is_missed_in_one_sentence(repository):
    export(repository, "weld_inspection")
    assert sentences(repository, "video_quality") == [NO_QUALITY]


def test_a_pipeline_that_lost_an_engine_is_not_left_out_but_a_fault(repository):
    for pipeline in STEPS:
        export(repository, pipeline)
    (repository / "video_quality_small_fusion/1/model.onnx").unlink()
    assert control.default_pipelines(repository) == (("weld_inspection", "video_quality"), ())
    assert sentences(repository, *STEPS) == [
        "video_quality_small_fusion/1/model.onnx is missing; run `python -m export video_quality_small`"
    ]


def test_a_pipeline_with_releases_is_never_called_unexported(repository):
    release = Release(
        1, "released", {name: Member(1) for name in STEPS["video_quality"]}, (), "", "", "", now()
    )
    Store(repository).write("video_quality", Pipeline("cpu", 1, None, {1: release}, {}))
    assert never_exported(repository, "video_quality") == ""
    assert len(sentences(repository, "video_quality")) == 2


def test_what_nobody_exported_yet_leaves_the_others_alone(repository):
    for pipeline in STEPS:
        export(repository, pipeline)
    steps = {"vision_language_gate": "gate", "vision_language_small_tokenizer": "tokenizer"}
    steps |= {
        "vision_language_small_text_encoder": "onnxruntime",
        "vision_language_small_fusion": "onnxruntime",
    }
    names = ", ".join(f'{{ model_name: "{name}" }}' for name in steps)
    texts = {"vision_language": f'platform: "ensemble"\nensemble_scheduling {{ step [ {names} ] }}'}
    for name, text in (texts | {name: f'backend: "{backend}"' for name, backend in steps.items()}).items():
        (repository / name / "1").mkdir(parents=True)
        (repository / name / "config.pbtxt").write_text(f'name: "{name}"\n{text}')
    sentence = "vision_language is not exported yet; run `python -m export vision_language_small`"
    assert control.default_pipelines(repository) == (("weld_inspection", "video_quality"), (sentence,))
    (repository / "vision_language_small_tokenizer/1/tokenizer.json").touch()
    assert control.default_pipelines(repository)[0] == ("weld_inspection", "video_quality", "vision_language")
    assert len(sentences(repository, "vision_language")) == 2


def test_a_repository_without_one_of_them_is_not_asked_for_it(repository):
    export(repository, "weld_inspection")
    (repository / "video_quality/config.pbtxt").unlink()
    (repository / "video_quality/1").rmdir()
    (repository / "video_quality").rmdir()
    assert control.default_pipelines(repository) == (("weld_inspection",), ())
