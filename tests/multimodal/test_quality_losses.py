"""Losses and regularisers against numbers that can be worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from multimodal.quality_losses import (
    CRITERIA,
    LossWeights,
    QualityObjective,
    attention_in,
    attention_regulariser,
    gates_in,
    load_balance,
    on_curve,
    plcc_loss,
    ranking_loss,
    regression_loss,
    sparsity,
    uniformity,
)

UNIFORM, ONE_HOT = torch.full((3, 4), 0.25), torch.eye(4)[:3]


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).unsqueeze(1)


# The criteria.


def test_scores_that_hit_their_targets_cost_nothing_whatever_the_shape_of_the_targets():
    scores, targets = column(0, 1), torch.tensor([0.0, 1.0])
    for name in CRITERIA:
        assert regression_loss(name, scores, targets).item() == 0
        assert regression_loss(name, scores, targets.unsqueeze(1)).item() == 0
        assert regression_loss(name, scores.squeeze(1), targets).item() == 0


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_without_the_reshape_perfect_scores_would_cost_a_half():
    assert torch.nn.functional.mse_loss(column(0, 1), torch.tensor([0.0, 1.0])).item() == 0.5


@pytest.mark.parametrize(
    ("name", "value"), [("mse", (4 + 0.25) / 2), ("l1", 1.25), ("huber", (1.5 + 0.125) / 2)]
)
def test_the_criteria_for_errors_of_two_and_a_half(name, value):
    assert regression_loss(name, column(2, 0.5), torch.zeros(2)).item() == pytest.approx(value)


@pytest.mark.parametrize("targets", [torch.zeros(3), torch.zeros(2, 2), torch.zeros(())])
def test_another_number_of_targets_is_refused_in_a_sentence(targets):
    with pytest.raises(ValueError, match="expected one value for each of 2 clips, got shape"):
        regression_loss("mse", column(0, 1), targets)


def test_an_unknown_criterion_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="expected one of mse, l1, huber, got 'mae'"):
        regression_loss("mae", column(0), torch.zeros(1))


# Correlation and order.


@pytest.mark.parametrize(
    ("scores", "value"),
    [((1, 2, 3, 4), 0.2), ((10, 20, 30, 40), 0.2), ((4, 3, 2, 1), 1.8), ((7, 7, 7, 7), 1.0)],
)
def test_the_correlation_loss_is_one_minus_the_correlation(scores, value):
    targets = torch.tensor([1.0, 3.0, 2.0, 4.0])  # correlates 0.8 with 1, 2, 3, 4
    assert plcc_loss(column(*scores), targets).item() == pytest.approx(value, abs=1e-5)


def test_constant_scores_have_a_finite_correlation_gradient():
    scores = column(7, 7, 7).requires_grad_()
    plcc_loss(scores, torch.tensor([1.0, 2.0, 3.0])).backward()
    assert torch.isfinite(scores.grad).all()


def test_following_the_correlation_gradient_raises_the_correlation():
    scores, targets = column(2, 1, 3).requires_grad_(), torch.tensor([1.0, 2.0, 3.0])
    before = plcc_loss(scores, targets)
    before.backward()
    assert plcc_loss(scores.detach() - 0.1 * scores.grad, targets) < before


def test_right_order_costs_nothing_and_wrong_order_its_distance():
    targets = torch.tensor([10.0, 20.0, 30.0])
    assert ranking_loss(column(1, 2, 3), targets).item() == 0
    # pairs: 20 over 10 scores -1, 30 over 10 scores +2, 30 over 20 scores +3
    assert ranking_loss(column(2, 1, 4), targets).item() == pytest.approx(1 / 3)


def test_a_margin_asks_for_a_distance():
    assert ranking_loss(column(1, 2), torch.tensor([10.0, 20.0]), margin=3).item() == pytest.approx(2)


def test_equal_targets_have_no_order_to_learn():
    scores = column(1, 5).requires_grad_()
    loss = ranking_loss(scores, torch.tensor([3.0, 3.0]), margin=1)
    loss.backward()
    assert loss.item() == 0 and torch.equal(scores.grad, torch.zeros(2, 1))


# Regularisers.


def test_attention_costs_between_minus_the_logarithm_of_its_keys_and_zero():
    assert attention_regulariser(UNIFORM[:, None]).item() == pytest.approx(-math.log(4))
    assert attention_regulariser(ONE_HOT[:, None]).item() == pytest.approx(0, abs=1e-9)


def test_minimising_the_attention_cost_spreads_attention():
    logits = torch.tensor([[[2.0, 0.0, 0.0]]], requires_grad=True)
    attention_regulariser(logits.softmax(dim=-1)).backward()
    assert logits.grad[0, 0, 0] > 0 > logits.grad[0, 0, 1]  # descent lowers the peak and lifts the rest


def test_sparsity_is_the_entropy_of_the_gates():
    assert sparsity(UNIFORM).item() == pytest.approx(math.log(4))
    assert sparsity(ONE_HOT).item() == pytest.approx(0, abs=1e-9)


def test_minimising_sparsity_sharpens_gates_and_minimising_uniformity_evens_them():
    for regulariser, sharpens in ((sparsity, True), (uniformity, False)):
        logits = torch.tensor([[1.0, 0.0]], requires_grad=True)
        regulariser(logits.softmax(dim=-1)).backward()
        assert (logits.grad[0, 0] < 0) == sharpens, regulariser


def test_uniformity_lies_between_one_over_the_alternatives_and_one():
    assert uniformity(UNIFORM).item() == pytest.approx(0.25)
    assert uniformity(ONE_HOT).item() == 1


def test_balanced_experts_cost_nothing_and_a_lone_one_all_the_others():
    assert load_balance(torch.eye(4)).item() == 0
    assert load_balance(UNIFORM).item() == 0
    assert load_balance(torch.eye(4)[[0, 0, 0]]).item() == pytest.approx(3)
    # work 3 and 1: mean 2, variance 1
    assert load_balance(torch.tensor([[0.75, 0.25]] * 4)).item() == pytest.approx(0.25)


def test_weights_of_exactly_zero_have_finite_gradients():
    for regulariser in (attention_regulariser, sparsity, uniformity, load_balance):
        gates = torch.tensor([[1.0, 0.0, 0.0]], requires_grad=True)
        regulariser(gates).backward()
        assert torch.isfinite(gates.grad).all(), regulariser


def test_what_a_fusion_reports_is_found_by_name_and_shape():
    gates, attention = torch.ones(2, 4), torch.ones(2, 1, 3)
    info = {
        "gates": gates,
        "expert_weights": gates,
        "attention_1_to_2": attention,
        "spatial_weight": torch.ones(2, 1),  # a single weight per clip says nothing of alternatives
        "temporal_weights": torch.ones(2, 1),
        "quality": torch.ones(2, 2),
        "note": "no tensor",
    }
    assert len(list(gates_in(info))) == 2
    assert [tuple(rows.shape) for rows in attention_in(info)] == [(2, 1, 3)]


# Their sum.


def output(**more: object) -> dict[str, object]:
    return {"quality_score": column(1, 3), "fusion_info": {}, **more}


def test_by_default_the_score_is_regressed_and_reported_evidence_regularised():
    info = {"attention": UNIFORM[:2, None], "gate": UNIFORM[:2]}
    terms = QualityObjective(LossWeights())(output(fusion_info=info), torch.zeros(2))
    assert set(terms) == {"loss", "quality", "attention", "sparsity"}
    assert terms["quality"].item() == 5
    assert terms["loss"].item() == pytest.approx(5 - 0.01 * math.log(4) + 0.001 * math.log(4))


def test_a_fusion_that_reports_nothing_is_not_regularised():
    assert set(QualityObjective(LossWeights())(output(), torch.zeros(2))) == {"loss", "quality"}


def test_every_term_can_be_switched_on_alone():
    info = {"attention": UNIFORM[:2, None], "gate": UNIFORM[:2], "load_balance": torch.tensor(0.5)}
    whole = output(fusion_info=info, frame_scores=torch.ones(2, 3))
    off = {"attention": 0.0, "sparsity": 0.0}
    for name in ("frames", "plcc", "ranking", "attention", "sparsity", "uniformity", "load_balance"):
        weights = LossWeights(**{**off, name: 2.0})
        terms = QualityObjective(weights)(whole, torch.tensor([4.0, 2.0]), torch.zeros(2, 3))
        assert set(terms) == {"loss", "quality", name}
        assert terms["loss"].item() == pytest.approx((terms["quality"] + 2 * terms[name]).item())


def test_frames_have_targets_of_their_own():
    weights = LossWeights(criterion="l1", quality=0, frames=1)
    terms = QualityObjective(weights)(
        output(frame_scores=torch.tensor([[1.0, 2.0], [3.0, 4.0]])), torch.zeros(2), torch.zeros(2, 2)
    )
    assert terms["loss"].item() == 2.5


@pytest.mark.parametrize("frame_targets", [None, torch.zeros(2, 4)])
def test_a_term_on_frames_without_matching_targets_is_refused_in_a_sentence(frame_targets):
    objective = QualityObjective(LossWeights(frames=1))
    with pytest.raises(ValueError, match=r"frame_scores and their targets of one shape, got \(2, 3\)"):
        objective(output(frame_scores=torch.zeros(2, 3)), torch.zeros(2), frame_targets)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"criterion": "mae"}, "expected one of mse, l1, huber, got 'mae'"),
        ({"sparsity": -1.0}, "expected a finite sparsity of at least 0, got -1.0"),
        ({"plcc": math.nan}, "expected a finite plcc of at least 0, got nan"),
        ({"quality": 0.0}, "quality, plcc, ranking or frames above 0"),
    ],
)
def test_nonsense_weights_are_refused_in_a_sentence(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        LossWeights(**settings)


def test_a_curve_spreads_good_scores_and_keeps_signs_and_ends():
    scores = torch.tensor([0.0, 50.0, 90.0, 100.0, -50.0])
    assert on_curve(scores, 3.0).tolist() == pytest.approx([0.0, 12.5, 72.9, 100.0, -12.5])
    assert on_curve(scores, 1.0) is scores


def test_on_a_curve_a_difference_between_good_clips_counts_more():
    targets, ahead = torch.tensor([[20.0], [95.0]]), torch.tensor([[5.0], [0.0]])
    weights = LossWeights("l1", power=3.0, attention=0.0, sparsity=0.0)
    bad, good = (
        float(
            QualityObjective(weights)({"quality_score": targets + shift, "fusion_info": {}}, targets)["loss"]
        )
        for shift in (ahead, ahead.flip(0))
    )
    assert good > 10 * bad
