"""Presets to models, wires between their halves, and one file of weights for all fusions."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from multimodal.fusions import QUALITY_FUSIONS
from multimodal.quality_build import (
    QualityModel,
    build_quality,
    fusion_state,
    save_quality_weights,
    trained_fusions,
    trunk_state,
)
from multimodal.quality_presets import QUALITY_PRESETS, Sampling, VideoQualityPreset
from multimodal.quality_served import served_part

TINY = QUALITY_PRESETS["video_quality_tiny"]
TRUNK = VideoQualityPreset(
    "one_trunk",
    "optimised",
    Sampling(size_px=32),
    spatial="efficientnet-tiny",
    temporal="",
    feature_width=16,
    default_fusion="space_time_cross_attention",
    fusion=TINY.fusion,
)
BOTH = pytest.mark.parametrize("preset", [TINY, TRUNK], ids=lambda preset: preset.family)


def built(preset: VideoQualityPreset = TINY, fusion: str | None = None, seed: int = 0) -> QualityModel:
    torch.manual_seed(seed)
    return build_quality(preset, fusion=fusion)


def views(preset: VideoQualityPreset, batch: int = 2, seed: int = 0) -> dict[str, torch.Tensor]:
    numbers, sampling = torch.Generator().manual_seed(seed), preset.sampling

    def pixels(frames: int, size_px: int) -> torch.Tensor:
        shape = (batch, frames, size_px, size_px, 3)
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=numbers)

    return {
        "video_frames": pixels(8 * sampling.burst, sampling.size_px),
        "video_fragments": pixels(8, sampling.fragments_px or 32),
    }


@BOTH
def test_encoding_and_fusing_apart_is_the_whole_model(preset):
    model, seen = built(preset), views(preset)
    inputs = (seen["video_frames"],)
    if preset.family == "unified":
        inputs = (seen["video_fragments"], seen["video_frames"])
    whole, apart = model(*inputs), model.fuse(model.encode(seen))
    for name in ("quality_score", "frame_scores", "frame_weights"):
        assert torch.equal(whole[name], apart[name]), name


@BOTH
def test_wires_have_one_axis_for_maps_and_one_for_levels(preset):
    model = built(preset)
    wires = model.encode(views(preset))
    values = sum(channels * height * width for channels, height, width in model.map_shapes)
    assert wires.spatial_tokens.shape == wires.temporal_tokens.shape == (2, 8, 16)
    assert wires.spatial_maps.shape == (2, values)
    assert wires.temporal_levels.shape == (2, sum(model.level_widths))


@BOTH
def test_a_preset_scores_single_moments_and_weighs_them(preset):
    said = built(preset).fuse(built(preset).encode(views(preset)))
    assert said["frame_scores"].shape == said["frame_weights"].shape == (2, 8)
    torch.testing.assert_close(said["frame_weights"].sum(dim=1), torch.ones(2))


@BOTH
def test_one_seed_gives_one_trunk_whichever_fusion_is_chosen(preset):
    states = [trunk_state(built(preset, fusion)) for fusion in ("gated", "pyramid")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@BOTH
def test_one_file_holds_the_trunk_once_and_a_head_for_every_fusion(preset, tmp_path):
    models = {name: built(preset, name, seed=place) for place, name in enumerate(QUALITY_FUSIONS)}
    path = save_quality_weights(models["gated"], models, tmp_path / "new" / "w.safetensors", torch.float32)
    assert trained_fusions(path) == tuple(QUALITY_FUSIONS)
    tops = {name.split(".")[0] for name in load_file(path)}
    assert tops == {"trunk", "fusions"}
    wires = models["gated"].encode(views(preset))
    for name, model in models.items():
        loaded = build_quality(preset, path, name)
        assert not loaded.training
        assert all(torch.equal(a, b) for a, b in zip(loaded.encode(views(preset)), wires, strict=True))
        for key, tensor in fusion_state(model).items():
            assert torch.equal(fusion_state(loaded)[key], tensor), f"{name}: {key}"


def test_parameters_are_stored_in_half_precision_and_buffers_as_they_are(tmp_path):
    model = built()
    model.scale.fit(torch.tensor([12.34567, 98.76543]))
    path = save_quality_weights(model, {"gated": model}, tmp_path / "w.safetensors")
    stored = load_file(path)
    assert stored["fusions.gated.head.0.weight"].dtype == torch.float16
    assert stored["trunk.scale.mean"].dtype == torch.float32
    loaded = build_quality(TINY, path)
    assert loaded.scale.mean == model.scale.mean
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    wires = model.encode(views(TINY))
    torch.testing.assert_close(
        loaded.fuse(wires)["quality_score"], model.fuse(wires)["quality_score"], atol=0.2, rtol=0
    )


def test_a_fusion_that_the_file_has_no_head_for_names_those_it_has(tmp_path):
    model = built()
    path = save_quality_weights(model, {"gated": model}, tmp_path / "w.safetensors")
    with pytest.raises(
        ValueError,
        match=r"w.safetensors: expected a head for the fusion pyramid, the file has some for gated;",
    ):
        build_quality(TINY, path, "pyramid")


def test_a_mistyped_fusion_offers_the_right_one():
    with pytest.raises(ValueError, match=r"fusion: expected one of .*, got 'gatet'; did you mean 'gated'"):
        build_quality(TINY, fusion="gatet")


def test_weights_of_another_preset_and_missing_files_are_one_sentence(tmp_path):
    model = built()
    path = save_quality_weights(model, {"gated": model}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="use the preset that they were trained with"):
        build_quality(QUALITY_PRESETS["video_quality_small"], path, "gated")
    state = load_file(path)
    state["trunk.stranger"] = state.pop("trunk.scale.mean")
    save_file(state, path)
    with pytest.raises(
        ValueError, match=r"1 missing, 1 unknown and 0 of another shape \(first: scale.mean\)"
    ):
        build_quality(TINY, path)
    with pytest.raises(FileNotFoundError, match="found none; train or download it first"):
        build_quality(TINY, tmp_path / "none.safetensors")


def test_a_model_under_another_fusions_name_is_refused(tmp_path):
    model = built()
    with pytest.raises(ValueError, match="fusion pyramid: expected a model with it, got one with gated"):
        save_quality_weights(model, {"pyramid": model}, tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", QUALITY_PRESETS)
def test_every_preset_names_a_fusion_and_networks_that_there_are(name):
    preset = QUALITY_PRESETS[name]
    with torch.device("meta"):
        model = build_quality(preset)
    assert model.fusion_name == preset.default_fusion
    assert model.encode is not None


@pytest.mark.parametrize("fusion", ["gated", "pyramid", "multi_level"])
def test_the_served_halves_are_the_model_and_zeros_where_nothing_is_valid(fusion):
    model, seen = built(fusion=fusion), views(TINY, 3)
    valid = torch.tensor([[True], [False], [True]])
    spatial = served_part(model, "spatial_encoder")(seen["video_fragments"], valid)
    temporal = served_part(model, "temporal_encoder")(seen["video_frames"], valid)
    answer = served_part(model, "fusion")(*spatial, *temporal, valid)
    for tensor in (*spatial, *temporal, *answer):
        assert not tensor[1].any()
    whole = model.fuse(model.encode(seen))
    torch.testing.assert_close(answer[0][[0, 2]], whole["quality_score"][[0, 2]])
    torch.testing.assert_close(answer[1][[0, 2]], whole["frame_scores"][[0, 2]])
    place = list(QUALITY_FUSIONS).index(fusion)
    assert answer[5].flatten().tolist() == [place, 0, place]


def test_one_trunk_is_served_as_one_encoder():
    model, seen = built(TRUNK), views(TRUNK)
    valid = torch.ones(2, 1, dtype=torch.bool)
    served = served_part(model, "encoder")(seen["video_frames"], valid)
    assert all(torch.equal(a, b) for a, b in zip(served, model.encode(seen), strict=True))
    with pytest.raises(ValueError, match="expected a part of a OptimizedVQAModel, got 'spatial_encoder'"):
        served_part(model, "spatial_encoder")


def test_a_model_that_scores_no_moments_is_not_served():
    model = built()
    model.frame_head = None
    with pytest.raises(ValueError, match="served fusion: expected a model with a frame head"):
        served_part(model, "fusion")


def test_fragments_belong_to_two_extractors():
    with pytest.raises(ValueError, match="expected two extractors and fragments in the unified family only"):
        replace(TINY, sampling=Sampling(size_px=32))
