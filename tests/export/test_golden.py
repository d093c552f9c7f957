import json

import numpy as np
import pytest
import torch

from export.__main__ import main
from export.golden_items import Item
from multimodal.build import build, save_weights
from multimodal.presets import PRESETS
from multimodal.weld_classes import CLASS_NAMES, MODALITIES
from training.decoding import Status

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Two files of random weights of the tiny preset."""
    folder = tmp_path_factory.mktemp("weights")
    files = []
    for seed in (3, 4):
        torch.manual_seed(seed)
        files.append(save_weights(build(PRESETS["tiny"]), folder / f"{seed}.safetensors"))
    return files


@pytest.fixture(scope="module")
def root(tmp_path_factory, weights):
    out = tmp_path_factory.mktemp("golden")
    assert write(out, weights[0], "--per-class", "2") == 0
    return out / "weld_inspection"


def write(out, weights, *more):
    return main(
        ["golden", "weld_inspection", "--preset", "tiny", "--weights", str(weights), "--out", str(out), *more]
    )


def content(folder):
    return json.loads((folder / "golden.json").read_text())


def tensors(folder, line):
    with np.load(folder / "inputs" / f"{line['id']}.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


def test_every_class_is_there_and_good_welds_three_times(root):
    described = content(root)
    labels = [line["label"] for line in described["items"]]
    assert [labels.count(index) for index in range(12)] == [6] + [2] * 11
    assert described["class_names"] == list(CLASS_NAMES)
    assert described["normal"] == CLASS_NAMES.index("Good")


def test_one_item_in_four_goes_out_in_part_and_what_is_absent_is_empty(root):
    described = content(root)["items"]
    parts = [line for line in described if tuple(line["modalities"]) != MODALITIES]
    assert len(parts) == len(described) // 4
    for line in parts:
        inputs = tensors(root, line)
        assert {name for name in MODALITIES if inputs[name].size} == set(line["modalities"])
        assert inputs["image_sizes"].sum() == inputs["image"].size
        assert not line["complete"]


def test_damage_is_expected_as_the_status_that_the_pipeline_has_to_report(root):
    described = content(root)["items"]
    damaged = {line["damage"]: index for index, line in enumerate(described) if line["damage"]}
    assert set(damaged) == {"image", "audio"}
    (path,) = root.glob("expected-*.npz")
    with np.load(path) as expected:
        modality, image = expected["modality_status"], expected["image_status"]
        assert modality[damaged["image"]].tolist() == [Status.OK, Status.PARTIAL, Status.OK, Status.OK]
        assert image[damaged["image"]][0] == Status.CORRUPT
        assert modality[damaged["audio"]].tolist() == [Status.OK, Status.OK, Status.CORRUPT, Status.OK]
        assert {len(expected[name]) for name in expected.files} == {len(described)}
        assert expected["probabilities"].sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_other_weights_add_answers_to_the_same_items(root, weights, capsys):
    before = content(root)
    assert write(root.parent, weights[1]) == 0
    assert capsys.readouterr().out.strip() == str(root)
    assert content(root) == before
    assert len(list(root.glob("expected-*.npz"))) == 2


def test_an_item_read_back_from_its_files_is_the_item(root):
    for line in content(root)["items"][:4]:
        inputs = tensors(root, line)
        again = Item.from_inputs(line, inputs)
        assert again.describe() == {key: value for key, value in line.items() if key != "sha256"}
        assert all(np.array_equal(again.inputs()[name], array) for name, array in inputs.items())


def test_welds_that_were_trained_on_are_refused(tmp_path, weights, capsys):
    assert write(tmp_path, weights[0], "--seed", "1") == 1
    assert "--seed: expected another than [1], got 1: those welds were trained on" in capsys.readouterr().err


def test_a_mistyped_pipeline_exits_with_two_and_offers_the_right_one(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["golden", "weld_inspektion"])
    assert stopped.value.code == 2
    assert "did you mean weld_inspection?" in " ".join(capsys.readouterr().err.split())
