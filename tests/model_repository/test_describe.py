from pathlib import Path

import pytest

from export.contract import TARGETS, load
from export.wires import check_wires
from model_repository import describe

ROOT = Path(describe.__file__).parent
MODELS = sorted(path.parent.name for path in ROOT.glob("*/config.pbtxt"))
PRESETS_OWN = {"audio_window_samples": "how much sound the preset of a target hears"}
ENSEMBLES = [name for name in MODELS if load(ROOT, name).steps]


def test_regenerating_the_configurations_changes_nothing():
    committed = {str(path.relative_to(ROOT)): path.read_text() for path in ROOT.rglob("*.pbtxt")}
    assert describe.files() == committed


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_every_wire_of_every_ensemble_fits(ensemble, target):
    contracts = {name: load(ROOT, name, target) for name in MODELS}
    assert check_wires(contracts[ensemble], contracts) == []


@pytest.mark.parametrize("name", MODELS)
def test_the_two_targets_of_a_model_promise_the_same(name):
    cpu, gpu = (load(ROOT, name, target) for target in TARGETS)
    assert cpu.interface == gpu.interface
    assert cpu.parameters | PRESETS_OWN == gpu.parameters | PRESETS_OWN


def test_the_ensemble_of_each_target_uses_one_preset():
    for target, preset in describe.PRESET_OF_TARGET.items():
        steps = load(ROOT, "weld_inspection", target).steps
        assert {step.model.startswith(preset) for step in steps[1:]} == {True}


def test_every_model_has_a_first_version_folder():
    assert all((ROOT / name / "1").is_dir() for name in MODELS)
