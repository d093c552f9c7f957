"""The arithmetic of the quality fusions that weigh one thing against another, by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from multimodal.fusions import (
    AdaptiveGatedFusion,
    DynamicWeightNetwork,
    GatedFusion,
    QualityAwareFusion,
    QualityAwareScoreFusion,
    ScoreMixtureOfExperts,
    SpatioTemporalGatedFusion,
)

from .clip_inputs import zero
from .fusion_inputs import parameters

HALF = torch.full((4, 2), 0.5)


def make_identity(module: nn.Module) -> None:
    """Every linear layer of the module passes its input on."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.eye_(layer.weight)
            nn.init.zeros_(layer.bias)


def pair(batch: int = 4, width: int = 16, other: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    numbers = torch.Generator().manual_seed(0)
    return (
        torch.randn(batch, width, generator=numbers),
        torch.randn(batch, other or width, generator=numbers),
    )


def test_parameter_counts_follow_their_formulas():
    def layers(*widths: int) -> int:
        return sum(before * after + after for before, after in pairwise(widths))

    gated = layers(16, 6, 3, 2) + 2 * layers(8, 8) + layers(8, 8, 8)
    assert parameters(GatedFusion(8, 6)) == gated
    experts = 3 * layers(16, 8, 8) + layers(16, 8, 3) + layers(16, 3)
    assert parameters(AdaptiveGatedFusion(8, 3)) == experts
    weighed = layers(24, 8, 4, 2, 3) + 3 * layers(8, 8, 8) + layers(8, 8, 8)
    assert parameters(DynamicWeightNetwork(8, 4, num_modalities=3)) == weighed
    rated = layers(8, 10, 5, 1) + layers(8, 5, 1) + layers(8, 8, 8) + layers(16, 8, 8)
    assert parameters(QualityAwareFusion(8, 5)) == rated
    assert parameters(SpatioTemporalGatedFusion(3, 5, 7)) == layers(8, 7, 2) + layers(3, 7) + layers(5, 7)
    assert parameters(ScoreMixtureOfExperts(3, 5, 2, 6)) == 2 * layers(8, 6, 1) + layers(8, 3, 2)
    assert parameters(QualityAwareScoreFusion(3, 5, 6)) == layers(3, 3, 1) + layers(5, 3, 1) + layers(8, 6, 1)


def test_a_gate_of_zero_weights_shares_evenly_between_positive_views():
    fusion = GatedFusion(16, 8).eval()
    zero(fusion.gate[-1])
    make_identity(fusion.transforms)
    make_identity(fusion.output)
    first, second = (view.abs() for view in pair())
    fused, info = fusion(first, second)
    assert torch.equal(info["gates"], HALF)
    torch.testing.assert_close(fused, (first + second) / 2)


def test_a_gate_that_is_sure_lets_one_view_through():
    fusion = GatedFusion(16, 8).eval()
    zero(fusion.gate[-1])
    fusion.gate[-1].bias.data = torch.tensor([200.0, 0.0])
    first, second = pair()
    fused, info = fusion(first, second)
    assert torch.equal(info["gates"], torch.tensor([[1.0, 0.0]]).expand(4, 2))
    assert torch.equal(fused, fusion(first, -second)[0])


def test_a_space_time_gate_of_zero_weights_gives_the_mean_of_both_projections():
    fusion = SpatioTemporalGatedFusion(6, 10, 16).eval()
    zero(fusion.gate[-1])
    spatial, temporal = pair(width=6, other=10)
    fused, info = fusion(spatial, temporal)
    assert torch.equal(info["gates"], HALF)
    torch.testing.assert_close(fused, (fusion.spatial(spatial) + fusion.temporal(temporal)) / 2)


@pytest.mark.parametrize("inputs", [2, 3, 5])
def test_dynamic_weights_with_a_last_layer_of_zeros_are_equal(inputs):
    fusion = DynamicWeightNetwork(16, 8, num_modalities=inputs).eval()
    zero(fusion.weigh[-1])
    _, info = fusion([view for _ in range(inputs) for view in pair()[:1]])
    torch.testing.assert_close(info["weights"], torch.full((4, inputs), 1 / inputs))


def test_a_mixture_with_a_gate_of_zeros_is_the_mean_of_its_experts():
    torch.manual_seed(0)
    fusion = AdaptiveGatedFusion(16).eval()
    zero(fusion.gate)
    first, second = pair()
    fused, info = fusion(first, second)
    answers = [expert(torch.cat([first, second], dim=-1)) for expert in fusion.experts]
    torch.testing.assert_close(fused, torch.stack(answers).mean(dim=0))
    assert torch.equal(info["weights"], torch.full((4, 4), 0.25))
    assert info["load_balance"] == 0


def test_one_softmax_lets_a_mixture_choose_a_single_expert():
    fusion = AdaptiveGatedFusion(16).eval()
    zero(fusion.gate)
    fusion.gate[-1].bias.data[2] = 20.0  # a second softmax would leave at most 0.4754 of this
    _, info = fusion(*pair())
    assert (info["weights"][:, 2] > 0.999).all()
    torch.testing.assert_close(info["load_balance"], torch.tensor(3.0), atol=1e-3, rtol=0)


def test_the_gate_of_a_mixture_is_noisy_in_training_only():
    torch.manual_seed(0)
    fusion = AdaptiveGatedFusion(16, dropout=0.0)
    views = pair()
    assert not torch.equal(fusion.train()(*views)[1]["weights"], fusion(*views)[1]["weights"])
    assert torch.equal(fusion.eval()(*views)[1]["weights"], fusion(*views)[1]["weights"])


def test_the_noise_of_a_mixture_has_the_learned_scale():
    torch.manual_seed(0)
    fusion = AdaptiveGatedFusion(16, dropout=0.0).train()
    zero(fusion.noise)
    fusion.noise.bias.data.fill_(-100.0)  # softplus of it is 0
    noisy = fusion(*pair())[1]["weights"]
    torch.testing.assert_close(noisy, fusion.eval()(*pair())[1]["weights"])


def test_a_mixture_without_noise_trains_as_it_answers_and_has_no_idle_layer():
    fusion = AdaptiveGatedFusion(16, dropout=0.0, noise=False)
    assert torch.equal(fusion.train()(*pair())[0], fusion.eval()(*pair())[0])
    assert parameters(AdaptiveGatedFusion(16)) - parameters(fusion) == 32 * 4 + 4


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_only_the_best_experts_answer(top_k, training):
    torch.manual_seed(0)
    _, info = AdaptiveGatedFusion(16, top_k=top_k).train(training)(*pair())
    assert torch.equal((info["weights"] > 0).sum(dim=-1), torch.full((4,), top_k))
    torch.testing.assert_close(info["weights"].sum(dim=-1), torch.ones(4), atol=1e-6, rtol=0)


def test_the_experts_kept_are_those_the_gate_prefers_and_keep_their_proportion():
    torch.manual_seed(0)
    fusion = AdaptiveGatedFusion(16, top_k=2).eval()
    _, kept = fusion(*pair())
    fusion.top_k = None
    _, everyone = fusion(*pair())
    best = everyone["weights"].topk(2, dim=-1)
    expected = torch.zeros(4, 4).scatter(-1, best.indices, best.values / best.values.sum(-1, keepdim=True))
    torch.testing.assert_close(kept["weights"], expected)


def test_equal_logits_still_keep_no_more_than_top_k():
    fusion = AdaptiveGatedFusion(16, top_k=2).eval()
    zero(fusion.gate)
    _, info = fusion(*pair())
    assert torch.equal(info["weights"].sort(dim=-1).values, torch.tensor([[0, 0, 0.5, 0.5]]).expand(4, 4))


def test_quality_networks_of_zeros_rate_both_views_half_and_weigh_them_evenly():
    fusion = QualityAwareFusion(16, 8).eval()
    zero(fusion.quality)
    zero(fusion.uncertainty)
    _, info = fusion(*pair())
    assert torch.equal(info["evidence"], torch.full((4, 3, 2), 0.5))
    for view in (1, 2):
        for name in ("quality", "uncertainty", "weight"):
            assert torch.equal(info[f"{name}_{view}"], torch.full((4, 1), 0.5))


def test_weights_are_shares_of_reliability():
    torch.manual_seed(0)
    _, info = QualityAwareFusion(16, 8).eval()(*pair())
    reliable = [info[f"quality_{view}"] * (1 - info[f"uncertainty_{view}"]) for view in (1, 2)]
    torch.testing.assert_close(info["weight_1"], reliable[0] / (reliable[0] + reliable[1]))
    torch.testing.assert_close(info["evidence"][:, 2], info["weights"])


@pytest.mark.parametrize("logit", [-12.0, -80.0, -500.0])
def test_weights_of_views_that_are_hardly_reliable_still_sum_to_one(logit):
    fusion = QualityAwareFusion(16, 8).eval()
    zero(fusion.quality[-1])
    fusion.quality[-1].bias.data.fill_(logit)
    _, info = fusion(*pair())
    torch.testing.assert_close(info["weights"].sum(dim=-1), torch.ones(4), atol=1e-6, rtol=0)

    score = QualityAwareScoreFusion(16, 16, 8).eval()
    for rate in score.quality:
        zero(rate[-1])
        rate[-1].bias.data.fill_(logit)
    _, info = score(*pair())
    torch.testing.assert_close(info["weights"], HALF)


def test_the_view_of_better_quality_weighs_more_in_the_score():
    fusion = QualityAwareScoreFusion(6, 10, 8).eval()
    for rate, logit in zip(fusion.quality, (0.0, 100.0), strict=True):
        zero(rate)
        rate[-1].bias.data.fill_(logit)
    score, info = fusion(*pair(width=6, other=10))
    assert score.shape == (4, 1)
    # qualities 1/2 and 1: weights 1/3 and 2/3
    torch.testing.assert_close(info["evidence"][0], torch.tensor([[0.5, 1.0], [1 / 3, 2 / 3]]))
    torch.testing.assert_close(info["spatial_weight"], torch.full((4, 1), 1 / 3))
    torch.testing.assert_close(info["temporal_weight"], torch.full((4, 1), 2 / 3))
    torch.testing.assert_close(info["temporal_quality"], torch.ones(4, 1))


def test_a_score_mixture_with_a_gate_of_zeros_is_the_mean_score_of_its_experts():
    torch.manual_seed(0)
    fusion = ScoreMixtureOfExperts(6, 10, num_experts=3, hidden_dim=8).eval()
    zero(fusion.gate)
    views = pair(width=6, other=10)
    score, info = fusion(*views)
    scores = torch.cat([expert(torch.cat(views, dim=-1)) for expert in fusion.experts], dim=-1)
    torch.testing.assert_close(score, scores.mean(dim=-1, keepdim=True))
    torch.testing.assert_close(info["weights"], torch.full((4, 3), 1 / 3))


def test_a_score_between_the_lowest_and_the_highest_expert():
    torch.manual_seed(0)
    fusion = ScoreMixtureOfExperts(6, 10).eval()
    views = pair(width=6, other=10)
    scores = torch.cat([expert(torch.cat(views, dim=-1)) for expert in fusion.experts], dim=-1)
    score = fusion(*views)[0][:, 0]
    assert ((scores.min(dim=-1).values <= score) & (score <= scores.max(dim=-1).values)).all()


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: GatedFusion(0), "gated fusion: expected feature_dim of at least 1, got 0"),
        (lambda: GatedFusion(8, 0), "hidden_dim of at least 1, got 0"),
        (lambda: AdaptiveGatedFusion(8, 0), "num_experts of at least 1, got 0"),
        (lambda: AdaptiveGatedFusion(8, 4, top_k=5), "expected top_k in 1-4 or None, got 5"),
        (lambda: AdaptiveGatedFusion(8, 4, top_k=0), "expected top_k in 1-4 or None, got 0"),
        (lambda: DynamicWeightNetwork(8, num_modalities=0), "num_modalities of at least 1, got 0"),
        (lambda: DynamicWeightNetwork(8, 0), "context_dim of at least 1, got 0"),
        (lambda: QualityAwareFusion(8, 0), "quality_dim of at least 1, got 0"),
        (lambda: SpatioTemporalGatedFusion(8, 0), "temporal_dim of at least 1, got 0"),
        (lambda: ScoreMixtureOfExperts(8, 8, 0), "num_experts of at least 1, got 0"),
        (lambda: QualityAwareScoreFusion(8, 8, 0), "hidden_dim of at least 1, got 0"),
        (lambda: GatedFusion(8)(torch.zeros(2, 8), torch.zeros(2, 9)), r"input 2 of width 8 .*\(2, 9\)"),
        (lambda: GatedFusion(8)(torch.zeros(2, 8), torch.zeros(3, 8)), "one batch, got 2 rows"),
        (lambda: GatedFusion(8)(torch.zeros(2, 1, 8), torch.zeros(2, 8)), r"on 2 axes, got \(2, 1, 8\)"),
        (lambda: DynamicWeightNetwork(8)([torch.zeros(2, 8)]), "expected 2 inputs, one per width, got 1"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()
