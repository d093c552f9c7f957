"""Losses against numbers that can be worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from multimodal.losses import CombinedLoss, SupConLoss

PAIRS = torch.eye(4).repeat_interleave(2, dim=0)  # four classes, two identical orthonormal vectors each
PAIR_LABELS = torch.arange(4).repeat_interleave(2)


@pytest.mark.parametrize(("temperature", "value"), [(0.07, 3.7e-6), (0.1, 3.89e-4), (0.5, 4.24598)])
def test_perfect_pairs_cost_a_known_logarithm(temperature, value):
    loss = SupConLoss(temperature, base_temperature=0.07)(PAIRS, PAIR_LABELS)
    formula = temperature / 0.07 * math.log1p(6 * math.exp(-1 / temperature))
    assert formula == pytest.approx(value, rel=2e-2)
    assert loss.item() == pytest.approx(formula, rel=1e-5, abs=1e-6)  # float32 resolves 1e-6 at 1/0.07


@pytest.mark.parametrize(("batch", "value"), [(8, 1.94591), (32, 3.43399)])
def test_a_collapsed_batch_of_one_class_costs_log_of_batch_minus_one(batch, value):
    loss = SupConLoss()(torch.eye(3)[:1].repeat(batch, 1), torch.zeros(batch, dtype=torch.long))
    assert loss.item() == pytest.approx(math.log(batch - 1), abs=1e-5)
    assert loss.item() == pytest.approx(value, abs=1e-5)


def test_without_any_partner_the_loss_is_zero_and_still_differentiable():
    features = torch.eye(4, requires_grad=True)
    loss = SupConLoss()(features, torch.arange(4))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(features.grad, torch.zeros(4, 4))


def test_the_documented_two_class_case():
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -1.0]])
    features = torch.nn.functional.normalize(features, dim=-1)
    loss = SupConLoss(0.5, base_temperature=0.5)(features, torch.tensor([0, 0, 1, 1]))
    assert loss.item() == pytest.approx(1.950183, abs=1e-5)


def test_rows_without_a_partner_dilute_only_the_upstream_reduction():
    features = torch.nn.functional.normalize(
        torch.randn(3, 5, generator=torch.Generator().manual_seed(0)), dim=-1
    )
    labels = torch.tensor([0, 0, 1])
    valid, upstream = (SupConLoss(reduction=name)(features, labels) for name in ("valid", "upstream"))
    torch.testing.assert_close(upstream, valid * 2 / 3)


def test_half_precision_features_are_summed_in_float32():
    loss = SupConLoss(0.5)(PAIRS.to(torch.bfloat16), PAIR_LABELS)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(4.24598, abs=1e-4)


def test_combined_loss_is_the_weighted_sum_in_tensors_and_floats():
    logits = torch.zeros(8, 4, requires_grad=True)
    parts = CombinedLoss(SupConLoss(0.5), contrastive_weight=1.0, class_weight=0.1)(
        PAIRS, logits, PAIR_LABELS
    )
    assert parts["class"].item() == pytest.approx(math.log(4))
    assert parts["loss_value"] == pytest.approx(4.24598 + 0.1 * math.log(4), abs=1e-4)
    parts["loss"].backward()
    assert logits.grad.abs().max() > 0


def test_by_default_cross_entropy_takes_no_part():
    parts = CombinedLoss()(PAIRS, torch.zeros(8, 4), PAIR_LABELS)
    assert parts["class_value"] == 0.0
    assert torch.equal(parts["loss"], parts["contrastive"])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: SupConLoss(temperature=0), "temperatures above 0"),
        (lambda: SupConLoss(reduction="sum"), "valid or upstream, got 'sum'"),
        (lambda: SupConLoss()(torch.zeros(2, 3), torch.zeros(3)), r"got \(2, 3\) and \(3,\)"),
        (lambda: CombinedLoss(contrastive_weight=0.0), "one above 0"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
