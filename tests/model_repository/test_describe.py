from pathlib import Path

import pytest

from export.contract import TARGETS, load
from export.wires import check_wires
from model_repository import (
    configuration,
    describe,
    video_quality_models,
    vision_language_models,
    visual_question_models,
    weld_models,
)
from multimodal.fusions import QUALITY_FUSIONS
from multimodal.quality_presets import QUALITY_PRESETS
from multimodal.vision_language.presets import VISION_LANGUAGE_PRESETS
from multimodal.visual_question.presets import VISUAL_QUESTION_PRESETS

ROOT = Path(describe.__file__).parent
MODELS = sorted(path.parent.name for path in ROOT.glob("*/config.pbtxt"))
PRESETS_OWN = {
    "audio_window_samples": "how much sound the preset of a target hears",
    "execution_context_allocation_strategy": "how TensorRT takes its memory",
    "FORCE_CPU_ONLY_INPUT_TENSORS": "where decoders read files",
}
ENSEMBLES = [name for name in MODELS if load(ROOT, name).steps]
PIPELINES = {
    "weld_inspection": weld_models,
    "video_quality": video_quality_models,
    "vision_language": vision_language_models,
    "visual_question_answering": visual_question_models,
}
PHOTO_AND_TEXT = (vision_language_models, visual_question_models)


def test_regenerating_the_configurations_changes_nothing():
    committed = {str(path.relative_to(ROOT)): path.read_text() for path in ROOT.rglob("*.pbtxt")}
    described = [model for models in describe.PIPELINES.values() for model in models()]
    assert configuration.files(described) == committed


def test_no_two_pipelines_describe_the_same_model():
    names = [model.name for models in describe.PIPELINES.values() for model in models()]
    assert len(names) == len(set(names))


def test_every_pipeline_is_an_ensemble_of_its_name():
    assert sorted(describe.PIPELINES) == ENSEMBLES


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_every_wire_of_every_ensemble_fits(ensemble, target):
    contracts = {name: load(ROOT, name, target) for name in MODELS}
    assert check_wires(contracts[ensemble], contracts) == []


@pytest.mark.parametrize("name", MODELS)
def test_the_two_targets_of_a_model_promise_the_same(name):
    cpu, gpu = (load(ROOT, name, target) for target in TARGETS)
    assert cpu.interface == gpu.interface
    own = {key: text for key, text in PRESETS_OWN.items() if key in gpu.parameters}
    # How our backends compute and what they tell each other: no caller's business.
    inside = {"HINT_BF16", "ZEROS_WITHOUT", "ADMISSION_GATE", *configuration.THREADS.values()}
    promised = {key: text for key, text in cpu.parameters.items() if key not in inside}
    assert promised | own == {k: text for k, text in gpu.parameters.items() if k not in inside} | own


@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_the_ensemble_of_each_target_uses_one_preset(ensemble):
    for target, preset in PIPELINES[ensemble].PRESET_OF_TARGET.items():
        gate, *steps = load(ROOT, ensemble, target).steps
        assert gate.model.endswith("_gate")
        assert {step.model.startswith(f"{preset}_") for step in steps} == {True}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("pipeline", ENSEMBLES)
def test_one_step_of_what_a_target_serves_tells_the_gate_what_is_done(pipeline, target):
    gate, *steps = [step.model for step in load(ROOT, pipeline, target).steps]
    told = {step: load(ROOT, step, target).parameters.get("ADMISSION_GATE") for step in steps}
    assert [told_gate for told_gate in told.values() if told_gate] == [gate]
    assert target == "gpu" or told[steps[-1]] == gate  # the last of all, where a backend of ours runs it
    assert int(load(ROOT, gate, target).parameters["max_under_way"]) > 0


def test_every_model_has_a_first_version_folder():
    assert all((ROOT / name / "1").is_dir() for name in MODELS)


@pytest.mark.parametrize("name", video_quality_models.SERVED)
def test_any_quality_preset_could_be_the_one_that_the_ensemble_serves(name):
    gate, chain = video_quality_models.gate(), video_quality_models.preset_models(QUALITY_PRESETS[name])
    known = set(gate.inputs)
    for model in (gate, *chain):
        assert set(model.inputs) <= known
        known |= set(model.outputs)
    assert set(video_quality_models.ensemble().outputs) <= known


def test_the_ensemble_says_what_the_evidence_of_every_fusion_means():
    entries = load(ROOT, "video_quality").parameters["fusions"].split(";")
    assert [entry.split(":")[0] for entry in entries] == list(QUALITY_FUSIONS)
    assert entries[list(QUALITY_FUSIONS).index("gated")] == "gated:gate:spatial|temporal"
    assert entries[list(QUALITY_FUSIONS).index("pyramid")] == "pyramid::"
    assert all(entry.count(":") == 2 for entry in entries)


@pytest.mark.parametrize(
    ("models", "preset"),
    [
        *((vision_language_models, preset) for preset in VISION_LANGUAGE_PRESETS.values()),
        *((visual_question_models, preset) for preset in VISUAL_QUESTION_PRESETS.values()),
    ],
    ids=lambda one: getattr(one, "name", ""),
)
def test_any_preset_of_photo_and_text_could_be_the_one_that_the_ensemble_serves(models, preset):
    """Every tensor is made before it is read, at one size, and the ensemble answers with what was made."""
    known: dict[str, configuration.Tensor] = {one.name: one for one in models.REQUESTS.payloads}
    for model in (models.gate(), *models.preset_models(preset)):
        assert set(model.inputs) <= set(known.values())
        known |= {one.name: one for one in model.outputs}
    for promised in models.ensemble().outputs:
        made = known[promised.name]
        assert promised.dtype == made.dtype
        assert len(promised.dims) == len(made.dims)
        assert all(size in (-1, own) for size, own in zip(promised.dims, made.dims, strict=True))


@pytest.mark.parametrize("models", PHOTO_AND_TEXT)
def test_no_output_of_a_step_is_left_unread(models):
    steps = [model for model in models.models() if not model.ensemble]
    read = {one.name for step in steps for one in step.inputs} | {t.name for t in models.ensemble().outputs}
    assert {one.name for step in steps for one in step.outputs} <= read


@pytest.mark.parametrize("models", PHOTO_AND_TEXT)
def test_every_step_reads_the_columns_of_present_in_one_order(models):
    name = models.REQUESTS.pipeline
    order = load(ROOT, name).parameters["modalities"]
    assert load(ROOT, f"{name}_gate").parameters["modalities"] == order
    steps = [
        load(ROOT, f"{preset}_{step}")
        for preset in models.PRESET_OF_TARGET.values()
        for step in ("preprocess", "tokenizer")
    ]
    assert {step.parameters["present"] for step in steps} == {order}


def test_only_question_answering_requires_both():
    required = {models: models.gate().parameters.get("required") for models in PHOTO_AND_TEXT}
    assert list(required.values()) == [None, "image,question"]


def test_the_classes_are_those_of_easy_vqa_in_the_order_of_its_package():
    names = load(ROOT, "vision_language").parameters["class_names"].split(",")
    assert names[:5] == ["circle", "green", "red", "gray", "yes"]
    assert len(set(names)) == 13


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", ["tokenizer", "generator"])
def test_what_is_python_stays_on_the_cpu(kind, target):
    texts = [(ROOT / name / configuration.TARGETS[target]).read_text() for name in MODELS]
    ours = [text for text in texts if f'backend: "{kind}"' in text]
    assert len(ours) == {"tokenizer": 4, "generator": 2}[kind]
    assert all("KIND_CPU" in text and "KIND_GPU" not in text for text in ours)


def test_the_pipelines_of_one_photo_have_one_text_of_decoding():
    texts = {
        (ROOT / f"{preset}_preprocess/1/dali.py").read_text()
        for models in PHOTO_AND_TEXT
        for preset in models.PRESET_OF_TARGET.values()
    }
    assert len(texts) == 1
