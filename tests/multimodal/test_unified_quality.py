"""The unified model: its published size, its inputs, its temporal branch, and the answer it gives."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from multimodal.fusions import QUALITY_FUSIONS
from multimodal.quality_heads import ScoreScale
from multimodal.quality_presets import Sampling
from multimodal.unified_quality import UnifiedVQAFusionModel, VQAFusionConfig

TINY = VQAFusionConfig(
    feature_dim=16,
    spatial_backbone_1="efficientnet-tiny",
    spatial_backbone_2="convnext_tiny_32",
    num_heads=2,
    gate_hidden_dim=16,
    sampling=Sampling(size_px=32, fragments_px=32),
)


def unified(**changes) -> UnifiedVQAFusionModel:
    torch.manual_seed(0)
    return UnifiedVQAFusionModel(replace(TINY, **changes)).eval()


def clips(batch: int = 2, frames: int = 8, seed: int = 0, size_px: int = 32) -> torch.Tensor:
    return torch.randn(batch, frames, 3, size_px, size_px, generator=torch.Generator().manual_seed(seed))


@pytest.mark.slow
def test_the_published_model_has_its_number_of_parameters():
    with torch.device("meta"):
        model = UnifiedVQAFusionModel()
    assert sum(parameter.numel() for parameter in model.parameters()) == 111_629_257
    assert sum(parameter.numel() for parameter in model.head.parameters()) == 164_353


@pytest.mark.parametrize("fusion", QUALITY_FUSIONS)
def test_every_fusion_gives_a_score_and_its_reasons(fusion):
    model = unified(fusion_strategy=fusion)
    said = model(clips(), clips(seed=1))
    assert said["quality_score"].shape == (2, 1)
    assert said["fused_features"].shape == (2, model.fusion.out_width)
    assert said["frame_weights"].shape == (2, 8)
    assert (model.head is None) == model.fusion.is_score
    assert "frame_scores" not in said


@pytest.mark.parametrize("fusion", QUALITY_FUSIONS)
def test_every_fusion_can_be_trained_on_a_single_clip_of_a_single_frame(fusion):
    model = unified(fusion_strategy=fusion, frame_pooling="attention", frame_head=True).train()
    said = model(clips(1, 1, size_px=64))  # at 32 px a batch norm would see one value
    (said["quality_score"].sum() + said["frame_scores"].sum()).backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_a_missing_second_view_is_the_first_one():
    model = unified()
    one, both = model(clips()), model(clips(), clips())
    assert torch.equal(one["quality_score"], both["quality_score"])


def test_a_single_picture_is_a_clip_of_one_frame():
    model, pictures = unified(), clips()[:, 0]
    assert torch.equal(model(pictures)["quality_score"], model(pictures[:, None])["quality_score"])


def test_a_clip_is_judged_alike_alone_and_in_a_batch():
    model = unified(frame_pooling="attention", frame_head=True)
    together = model(clips(3))
    for row in range(3):
        alone = model(clips(3)[row : row + 1])
        torch.testing.assert_close(
            alone["quality_score"][0], together["quality_score"][row], atol=1e-5, rtol=0
        )
        torch.testing.assert_close(alone["frame_scores"][0], together["frame_scores"][row], atol=1e-5, rtol=0)


def test_all_moments_count_alike_unless_attention_says_otherwise():
    assert (unified()(clips())["frame_weights"] == 1 / 8).all()
    weights = unified(frame_pooling="attention")(clips())["frame_weights"]
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2))
    assert weights.std() > 0


def test_the_attended_weights_average_both_views():
    model = unified(frame_pooling="attention")
    features = model.features(model.encode_clip(clips(), clips(seed=1)))
    weights = features.frame_weights[:, :, None]
    torch.testing.assert_close(features.spatial_vector, (features.spatial * weights).sum(dim=1))
    torch.testing.assert_close(features.temporal_vector, (features.temporal * weights).sum(dim=1))


def test_scores_come_in_the_units_of_the_labels():
    model = unified(frame_head=True)
    raw = model(clips())
    model.scale.fit(torch.tensor([40.0, 60.0, 80.0, 100.0]))
    said = model(clips())
    spread = 500**0.5  # of 40, 60, 80, 100 around 70
    torch.testing.assert_close(said["quality_score"], raw["quality_score"] * spread + 70)
    torch.testing.assert_close(said["frame_scores"], raw["frame_scores"] * spread + 70)


def test_labels_that_are_all_alike_keep_the_deviation_at_one():
    scale = ScoreScale()
    scale.fit(torch.full((3,), 50.0))
    assert scale(torch.tensor([0.0, 1.0])).tolist() == [50.0, 51.0]
    with pytest.raises(ValueError, match="score scale: expected at least two labels, got 1"):
        scale.fit(torch.ones(1))


@pytest.mark.parametrize("method", ["tsm", "tea"])
def test_a_temporal_branch_makes_the_order_of_frames_count(method):
    still, branch = unified(), unified(use_temporal=True, temporal_method=method)
    backwards = clips().flip(1)
    features = lambda model, video: model.spatial_encoder(video).tokens.mean(dim=1)  # noqa: E731
    torch.testing.assert_close(features(still, clips()), features(still, backwards))
    assert (features(branch, clips()) - features(branch, backwards)).abs().max() > 1e-4


def test_a_temporal_branch_adds_normalised_features_frame_by_frame():
    model = unified(use_temporal=True)
    branch = model.spatial_encoder.branch
    tokens = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0))
    added = branch(tokens) - tokens
    torch.testing.assert_close(added.mean(dim=-1), torch.zeros(2, 8), atol=1e-5, rtol=0)
    torch.testing.assert_close(added.std(dim=-1, correction=0), torch.ones(2, 8), atol=1e-3, rtol=0)


def test_slowfast_takes_features_of_any_number_of_steps_and_needs_some():
    model = unified(use_temporal=True, temporal_method="slowfast", temporal_feature_dim=12)
    for steps in (1, 8, 5):
        assert model(clips(), temporal=torch.randn(2, steps, 12))["quality_score"].shape == (2, 1)
    with pytest.raises(
        ValueError, match=r"slowfast: expected features \(batch, steps, 12\) computed elsewhere"
    ):
        model(clips())
    with pytest.raises(
        ValueError, match=r"slowfast: expected features \(batch, steps, 12\), got \(2, 8, 16\)"
    ):
        model(clips(), temporal=torch.randn(2, 8, 16))


def test_a_video_for_the_branch_is_seen_by_the_first_extractor():
    model, other = unified(use_temporal=True), clips(seed=2)
    tokens = model.spatial_encoder.extractor(other.flatten(0, 1)).unflatten(0, (2, 8))
    assert torch.equal(
        model(clips(), temporal=other)["quality_score"], model(clips(), temporal=tokens)["quality_score"]
    )


def test_features_that_nobody_asked_for_are_refused():
    with pytest.raises(ValueError, match="temporal features: expected none, got some; set use_temporal"):
        unified()(clips(), temporal=torch.randn(2, 8, 16))


def test_dropout_of_attention_and_sizes_of_fusions_come_from_the_config():
    model = unified(attention_dropout=0.3, dropout=0.2)
    assert model.fusion.first_asks.attention.dropout.p == 0.3
    assert model.fusion.join[2].p == 0.2
    assert unified(fusion_strategy="mixture_of_experts", num_experts=3)(clips())["fusion_info"][
        "weights"
    ].shape == (
        2,
        3,
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"fusion_strategy": "gatet"}, "fusion_strategy: expected one of .*; did you mean 'gated'"),
        ({"temporal_method": "tms"}, "temporal_method: expected one of tsm, tea, slowfast, got 'tms'"),
        ({"frame_pooling": "max"}, "frame_pooling: expected one of mean, attention, got 'max'"),
    ],
)
def test_a_mistyped_choice_is_refused_before_anything_is_built(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        replace(TINY, **change)


def test_an_unknown_backbone_offers_the_right_spelling():
    with pytest.raises(ValueError, match=r"extractor: expected one of .*; did you mean 'convnext_tiny_32'"):
        unified(spatial_backbone_2="convnext_tiny_23")
    with pytest.raises(ValueError, match="got 'resnet', which is a trunk only"):
        unified(spatial_backbone_1="resnet")


def test_a_clip_of_another_rank_is_refused():
    with pytest.raises(ValueError, match=r"clip: expected \(batch, frames, channels, height, width\)"):
        unified()(torch.randn(2, 3))
