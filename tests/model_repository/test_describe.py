from pathlib import Path

import pytest

from export.contract import TARGETS, load
from export.wires import check_wires
from model_repository import configuration, describe, video_quality_models, weld_models
from multimodal.fusions import QUALITY_FUSIONS
from multimodal.quality_presets import QUALITY_PRESETS

ROOT = Path(describe.__file__).parent
MODELS = sorted(path.parent.name for path in ROOT.glob("*/config.pbtxt"))
PRESETS_OWN = {"audio_window_samples": "how much sound the preset of a target hears"}
ENSEMBLES = [name for name in MODELS if load(ROOT, name).steps]
PIPELINES = {"weld_inspection": weld_models, "video_quality": video_quality_models}


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
    assert cpu.parameters | own == gpu.parameters | own


@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_the_ensemble_of_each_target_uses_one_preset(ensemble):
    for target, preset in PIPELINES[ensemble].PRESET_OF_TARGET.items():
        gate, *steps = load(ROOT, ensemble, target).steps
        assert gate.model.endswith("_gate")
        assert {step.model.startswith(f"{preset}_") for step in steps} == {True}


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
