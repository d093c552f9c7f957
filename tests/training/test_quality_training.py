"""Video quality from clips to weights and card, by the commands a user types, on the tiny preset."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from multimodal.fusions import QUALITY_FUSIONS
from multimodal.quality_build import build_quality, trained_fusions, trunk_state
from multimodal.quality_presets import QUALITY_PRESETS
from training.__main__ import main
from training.clip_dataset import load_clips
from training.quality_evaluate import Group, groups_of, kind_of, moments_agree
from training.quality_fusions import beside, freeze_trunk, train_fusions
from training.quality_recipe import QUALITY_RECIPES, ViewRecipe
from training.quality_samples import TensorSamples
from training.quality_views import grouped, standardised, visible

TINY = QUALITY_PRESETS["video_quality_tiny"]
RECIPE = QUALITY_RECIPES["video_quality_tiny"]


@pytest.fixture(scope="module")
def trained(small_clips, tmp_path_factory):
    """Folders of one run of the command: work, weights."""
    place = tmp_path_factory.mktemp("training")
    words = ["train", "video_quality_tiny", "--root", str(small_clips)]
    words += ["--work", str(place / "work"), "--weights", str(place / "weights")]
    assert main(words) == 0
    return place, words


@pytest.fixture(scope="module")
def dataset(small_clips, tmp_path_factory):
    return load_clips(small_clips, TINY, tmp_path_factory.mktemp("decoded"), workers=1)


def wires(clips, seed=0):
    model = build_quality(TINY)
    generator = torch.Generator().manual_seed(seed)
    sizes = {
        "spatial_tokens": (8, 16),
        "spatial_maps": (sum(int(torch.Size(shape).numel()) for shape in model.map_shapes),),
        "temporal_tokens": (8, 16),
        "temporal_levels": (sum(model.level_widths),),
    }
    inputs = {name: torch.randn(clips, *size, generator=generator) for name, size in sizes.items()}
    targets = 50 + 10 * inputs["spatial_tokens"][:, :, 0].mean(dim=1)
    return TensorSamples(inputs, targets, targets[:, None].repeat(1, 8))


def test_a_view_is_not_taught_what_it_cannot_see(dataset):
    seen = visible(dataset, list(range(len(dataset))), RECIPE.spatial.skip)
    names = {dataset.clips[row].distortion for row in seen}
    assert "blur" in names
    assert not any("dropped" in name or "flicker" in name for name in names)


def test_groups_come_from_one_source_each_and_all_rows_are_different(dataset):
    groups = grouped(dataset, list(range(len(dataset))), 4, np.random.default_rng(0))
    for group in groups:
        assert len({dataset.clips[row].source for row in group}) == 1
    rows = [row for group in groups for row in group]
    assert len(rows) == len(set(rows)) == 24  # ten clips a source make two groups of four


def test_targets_are_deviations_of_the_training_scores(dataset):
    rows = dataset.splits["train"]
    first, moments = (standardised(dataset, view, rows, 1.0) for view in ("spatial", "temporal"))
    mean, std = dataset.scores[rows].mean(), dataset.scores[rows].std()
    assert first[3] == pytest.approx((dataset.frame_scores[3, :, 0] - mean) / std, abs=1e-5)
    assert moments[3] == pytest.approx((dataset.moment_scores[3] - mean) / std, abs=1e-5)


def test_a_recipe_refuses_nonsense():
    with pytest.raises(ValueError, match="recipe: epochs must be at least 1"):
        ViewRecipe(epochs=0)


def test_every_fusion_learns_on_the_same_frozen_trunk():
    trunk = build_quality(TINY)
    before = {name: tensor.clone() for name, tensor in trunk_state(trunk).items()}
    encoded = {"train": wires(24), "choose": wires(8, seed=1)}
    recipe = replace(RECIPE, fusion=replace(RECIPE.fusion, epochs=1))
    models = train_fusions(trunk, TINY, recipe, encoded, ("gated", "pyramid"))
    assert list(models) == ["gated", "pyramid"]
    for model in models.values():
        for name, tensor in trunk_state(model).items():
            same = torch.equal(tensor, trunk_state(trunk)[name])
            assert same, name
            assert name.startswith("frame_head.") or torch.equal(tensor, before[name]), name


def test_only_what_belongs_to_the_fusion_goes_on_learning():
    model = build_quality(TINY)
    freeze_trunk(model, frame_head_too=True)
    learning = {name.split(".")[0] for name, one in model.named_parameters() if one.requires_grad}
    assert learning == {"frame_attention", "fusion", "head"}


def test_a_model_beside_a_trunk_sees_clips_as_the_trunk_does():
    trunk = build_quality(TINY)
    trunk.scale.fit(torch.tensor([10.0, 30.0, 80.0]))
    other = beside(trunk, TINY, "hierarchical")
    assert torch.equal(other.scale.mean, trunk.scale.mean)
    for name, tensor in trunk_state(trunk).items():
        assert torch.equal(tensor, trunk_state(other)[name])


def test_moments_agree_over_all_and_within_clips():
    wanted = np.array([[10.0, 20, 30, 40], [60, 60, 60, 60], [90, 80, 70, 60]])
    assert moments_agree(wanted + 5, wanted) == (pytest.approx(1.0), pytest.approx(1.0))
    overall, within = moments_agree(-wanted, wanted)
    assert (overall, within) == (pytest.approx(-1.0), pytest.approx(-1.0))


def test_a_group_has_its_own_agreement_and_the_peers_turned():
    scores = np.array([10.0, 50, 90, 20, 40])
    groups = groups_of(["blur"] * 3 + ["noise"] * 2, scores * 0.5, scores, -scores)
    assert groups[0] == Group("blur", 3, pytest.approx(1.0), groups[0].rmse, pytest.approx(1.0))
    assert [group.name for group in groups] == ["blur", "noise"]


def test_two_distortions_at_once_are_one_kind():
    assert [kind_of(name) for name in ("blur", "noise + VP9", "")] == ["blur", "mixed", "unknown"]


@pytest.mark.slow
def test_one_command_leaves_weights_with_a_head_for_every_fusion(trained):
    place, _ = trained
    path = place / "weights" / "video_quality_tiny.safetensors"
    assert trained_fusions(path) == tuple(QUALITY_FUSIONS)
    for name in QUALITY_FUSIONS:
        build_quality(TINY, path, name)
    scale = load_file(path)["trunk.scale.mean"]
    assert 20 < float(scale) < 95  # the mean VMAF of what it learned from
    assert all(
        tensor.dtype == torch.float16 for name, tensor in load_file(path).items() if "fusions." in name
    )


@pytest.mark.slow
def test_the_card_names_every_fusion_the_peer_and_what_was_left_out(trained):
    folder = trained[0] / "weights"
    text = (folder / "video_quality_tiny.md").read_text()
    for name in (
        *QUALITY_FUSIONS,
        "BRISQUE",
        "without the temporal view",
        "leaves 33",
        "Not judged by people",
    ):
        assert name in text
    assert (folder / "video_quality_tiny_scatter.png").stat().st_size > 20_000
    figures = json.loads((folder / "video_quality_tiny.json").read_text())
    assert set(figures["fusions"]) == set(QUALITY_FUSIONS)


@pytest.mark.slow
def test_a_second_call_goes_on_from_the_finished_encoders(trained):
    place, words = trained
    views = place / "work" / "views"
    before = {path.name: path.stat().st_mtime_ns for path in views.iterdir()}
    first = load_file(place / "weights" / "video_quality_tiny.safetensors")
    assert main(words) == 0
    assert {path.name: path.stat().st_mtime_ns for path in views.iterdir()} == before
    again = load_file(place / "weights" / "video_quality_tiny.safetensors")
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.slow
def test_evaluate_writes_the_card_anew_from_the_weights_on_disk(trained, capsys):
    place, words = trained
    card = place / "weights" / "video_quality_tiny.md"
    text = card.read_text()
    card.unlink()
    assert main(["evaluate", *words[1:]]) == 0
    assert capsys.readouterr().out == f"{card}\n"
    assert card.read_text() == text


def test_a_preset_without_a_recipe_is_refused_with_those_that_have_one(capsys, tmp_path):
    assert main(["train", "video_quality_unified", "--work", str(tmp_path)]) == 1
    assert "expected one with a recipe (video_quality_small, video_quality_tiny)" in capsys.readouterr().err


def test_the_clips_verb_says_which_contents_there_are(capsys, tmp_path):
    assert main(["clips", str(tmp_path / "new"), "--contents", "trams"]) == 1
    assert "training clips: contents: expected some of" in capsys.readouterr().err
