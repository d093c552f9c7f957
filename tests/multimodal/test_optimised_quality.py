"""The optimised model: its published size, every switch, and what each part of the wiring sees."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from multimodal.clip_features import ClipWidths
from multimodal.fusions import QUALITY_FUSIONS
from multimodal.optimised_quality import OptimizedVQAConfig, OptimizedVQAModel, change_level
from multimodal.quality_extractors import build_trunk
from multimodal.quality_presets import QualityFusionSizes, Sampling

TINY = OptimizedVQAConfig(
    spatial_backbone="efficientnet-tiny",
    fpn_channels=16,
    fusion=QualityFusionSizes(width=16, heads=2, gate_width=16),
    sampling=Sampling(size_px=32),
)


def optimised(**changes) -> OptimizedVQAModel:
    torch.manual_seed(0)
    return OptimizedVQAModel(replace(TINY, **changes)).eval()


def clips(batch: int = 2, frames: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, frames, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.slow
def test_the_published_model_has_its_number_of_parameters_with_and_without_the_unused_top():
    with torch.device("meta"):
        model = OptimizedVQAModel()
        with_top = OptimizedVQAModel(trunk=build_trunk("efficientnet-b4"))
    assert (count(model), count(with_top)) == (18_884_940, 19_691_340)
    assert count(model.head) == 65_793


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fusion", "temporal", "parameters"),
    [
        ("space_time_cross_attention", "tea", 2_142_724),
        ("space_time_gated", "tea", 830_982),
        ("space_time_cross_attention", "tsm", 2_108_612),
        ("space_time_gated", "tsm", 796_870),
    ],
)
def test_what_is_added_to_the_trunk_has_its_number_of_parameters(fusion, temporal, parameters):
    with torch.device("meta"):
        model = OptimizedVQAModel(OptimizedVQAConfig(fusion_type=fusion, temporal_model=temporal))
    assert count(model) - count(model.encoder.trunk) == parameters


@pytest.mark.parametrize("fusion", QUALITY_FUSIONS)
def test_every_fusion_gives_a_score_and_its_reasons(fusion):
    model = optimised(fusion_type=fusion)
    said = model(clips())
    assert said["quality_score"].shape == (2, 1)
    assert said["temporal_weights"].shape == (2, 8, 1)
    assert said["attention_map"].shape == (2, 8, 1, 1, 1)
    assert (model.head is None) == model.fusion.is_score
    torch.testing.assert_close(said["frame_weights"].sum(dim=1), torch.ones(2))


@pytest.mark.parametrize(
    "switch",
    [
        {"use_fpn": False},
        {"use_spatial_attention": False},
        {"use_fpn": False, "use_spatial_attention": False},
        {"pooling_type": "adaptive"},
        {"pooling_type": "avg"},
        {"temporal_model": "tsm"},
        {"temporal_model": "non_local"},
        {"temporal_model": "none"},
        {"use_temporal_attention": False},
        {"frame_head": True},
        {"spatial_backbone": "convnext_tiny_32"},
        {"spatial_backbone": "vit_tiny_patch16_32"},
        {"sampling": Sampling(size_px=32, burst=2)},
    ],
    ids=lambda switch: ",".join(f"{key}={value}" for key, value in switch.items() if key != "sampling"),
)
def test_every_switch_runs_and_every_weight_that_is_left_learns(switch):
    model = optimised(**switch).train()
    burst = model.config.sampling.burst
    said = model(torch.randn(2, 8, 3 * burst, 32, 32, generator=torch.Generator().manual_seed(1)))
    total = said["quality_score"].sum() + (said["frame_scores"].sum() if "frame_scores" in said else 0)
    total.backward()
    added = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert [name for name in added if not name.startswith("encoder.trunk.")] == _unseen(model)


def _unseen(model: OptimizedVQAModel) -> list[str]:
    """Only the coarsest level of the pyramid is judged, and no finer level flows into it."""
    if model.encoder.pyramid is None:
        return []
    return [f"encoder.pyramid.lateral.{level}.{kind}" for level in range(3) for kind in ("weight", "bias")]


@pytest.mark.parametrize("temporal", ["slowfast", "tea", "tsm"])
def test_features_from_elsewhere_are_the_temporal_view(temporal):
    model = optimised(temporal_model=temporal, external_width=12)
    features = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(3))
    said = model(clips(), features)
    assert said["frame_weights"].shape == (2, 5)
    for wrong in (None, torch.randn(2, 5, 16)):
        with pytest.raises(
            ValueError, match=rf"{temporal}: expected features \(batch, steps, 12\) computed elsewhere"
        ):
            model(clips(), wrong)


def test_slowfast_features_are_2304_wide_unless_said_otherwise():
    assert optimised(temporal_model="slowfast").encoder.time == 2304


def test_features_that_nobody_asked_for_are_refused():
    with pytest.raises(ValueError, match="temporal features: expected none, got some; set external_width"):
        optimised()(clips(), torch.randn(2, 8, 16))


def test_a_temporal_module_sees_the_trunks_own_maps():
    shifted, still = optimised(temporal_model="tsm"), optimised(temporal_model="none")
    views = [model.encoder(clips()) for model in (shifted, still)]
    assert torch.equal(views[0].spatial.tokens, views[1].spatial.tokens)
    assert (views[0].temporal_tokens - views[1].temporal_tokens).abs().max() > 1e-4


def test_the_spatial_vector_is_the_plain_mean_and_the_temporal_one_is_attended():
    model = optimised()
    features = model.features(model.encoder(clips()))
    torch.testing.assert_close(features.spatial_vector, features.spatial.mean(dim=1))
    weights = features.frame_weights[:, :, None]
    torch.testing.assert_close(features.temporal_vector, (features.temporal * weights).sum(dim=1))


def test_temporal_levels_are_what_changes_between_moments():
    stage = torch.zeros(1, 3, 2, 4, 4)
    stage[:, 1, 0], stage[:, 2, 0] = 2.0, 3.0  # channel 0: 0, 2, 3; channel 1 stands still
    assert change_level(stage).tolist() == [[1.5, 0.0]]
    assert change_level(stage[:, :1]).tolist() == [[0.0, 0.0]]


def test_widths_that_are_configured_all_the_same_have_to_be_the_derived_ones():
    optimised(spatial_feature_dim=16, temporal_feature_dim=16)
    with pytest.raises(
        ValueError, match="temporal_feature_dim: expected 16, which the other sizes give, got 2304"
    ):
        optimised(temporal_feature_dim=2304)


def test_views_of_two_widths_need_a_fusion_of_space_and_time():
    with pytest.raises(
        ValueError, match=r"expected views of one width, got 16 .* choose a space-time fusion"
    ):
        optimised(temporal_model="slowfast", fusion_type="gated")
    assert ClipWidths(16, 2304, (8,), (8,)).temporal == 2304


def test_a_mistyped_choice_is_refused_before_anything_is_built():
    with pytest.raises(ValueError, match="pooling_type: expected one of attention, adaptive, avg, got 'max'"):
        replace(TINY, pooling_type="max")
    with pytest.raises(
        ValueError, match=r"temporal_model: expected one of .*, got 'tee'; did you mean 'tea'"
    ):
        replace(TINY, temporal_model="tee")
