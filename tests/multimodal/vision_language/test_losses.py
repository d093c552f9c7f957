"""The tasks' losses against values that can be worked out by hand."""

import math

import pytest
import torch

from multimodal.vision_language.losses import RetrievalLoss, TaskWeights, VisionLanguageLoss


def number(tensor):
    return float(tensor.detach())


def outputs(batch=4, width=8):
    return {
        "classification_logits": torch.zeros(batch, 13),
        "retrieval_visual": torch.eye(batch, width),
        "retrieval_text": torch.eye(batch, width),
    }


def test_perfect_pairs_cost_the_logarithm_of_one_plus_their_neighbours():
    loss = RetrievalLoss()
    assert number(loss.scale) == pytest.approx(1 / 0.07, rel=1e-6)
    for scale in (1.0, 5.0):
        with torch.no_grad():
            loss.log_scale.fill_(math.log(scale))
        wanted = math.log(1 + 7 * math.exp(-scale))
        assert number(loss(torch.eye(8), torch.eye(8))) == pytest.approx(wanted, rel=1e-5)


def test_a_scale_of_one_would_leave_perfect_pairs_far_from_zero():
    loss = RetrievalLoss()
    with torch.no_grad():
        loss.log_scale.zero_()
    best = torch.eye(32) * math.sqrt(32 / 31) - math.sqrt(1 / (31 * 32))  # 32 points, cosines -1/31
    best = best / best.norm(dim=1, keepdim=True)
    assert number(loss(best, best)) == pytest.approx(2.4884, abs=0.02)


def test_vectors_that_are_all_alike_cost_the_logarithm_of_the_batch():
    same = torch.eye(8)[:1].expand(8, -1)
    assert number(RetrievalLoss()(same, same)) == pytest.approx(math.log(8), abs=1e-5)


def test_one_pair_alone_costs_nothing():
    assert number(RetrievalLoss()(torch.eye(1, 8), -torch.eye(1, 8))) == 0


def test_the_scale_never_exceeds_a_hundred_and_learns():
    loss = RetrievalLoss()
    with torch.no_grad():
        loss.log_scale.fill_(20.0)
    assert number(loss.scale) == 100
    loss = RetrievalLoss()
    loss(torch.eye(4), torch.eye(4).roll(1, 0)).backward()
    assert float(loss.log_scale.grad) > 0  # wrong pairs: a smaller scale costs less


def test_texts_that_fit_several_photos_are_no_mistakes():
    loss = RetrievalLoss()
    visual = torch.eye(4)[[0, 0, 1, 2]]
    matches = visual @ visual.T > 0.5  # the first two photos have one caption between them
    said = visual.clone().requires_grad_(True)
    loss(visual, said, matches).backward()
    assert said.grad[0].abs().max() < 1e-5  # as it is alike to both, there is nothing to mend
    said = visual.clone().requires_grad_(True)
    turned = torch.tensor([[1.0, 0, 0, 0], [0.6, 0.8, 0, 0]])
    far = torch.cat([turned, visual[2:]])
    loss(far, said, matches).backward()
    assert said.grad[0, 1] < 0  # a photo of the same caption draws the text towards it
    said = visual.clone().requires_grad_(True)
    loss(far, said).backward()
    assert said.grad[0, 1] > 0  # without matches it would be pushed away


def test_as_many_texts_as_photos_are_needed():
    with pytest.raises(ValueError, match="expected as many texts as photos"):
        RetrievalLoss()(torch.eye(4), torch.eye(3, 4))


def test_the_total_is_the_weighted_sum():
    labels = torch.tensor([0, 1, 2, 3])
    weights = TaskWeights(2.0, 0.5, 0.25)
    told = torch.zeros(4, 3, 5)
    target = torch.tensor([[1, 2, 0]] * 4)
    losses = VisionLanguageLoss(weights)({**outputs(), "generation_logits": told}, labels, target_ids=target)
    assert number(losses["classification"]) == pytest.approx(math.log(13), abs=1e-5)
    assert number(losses["generation"]) == pytest.approx(math.log(5), abs=1e-5)  # padding does not count
    total = 2 * losses["classification"] + 0.5 * losses["retrieval"] + 0.25 * losses["generation"]
    torch.testing.assert_close(losses["total"], total)


def test_without_gamma_nothing_is_said_of_generation():
    losses = VisionLanguageLoss()(outputs(), torch.tensor([0, 1, 2, 3]))
    assert list(losses) == ["total", "classification", "retrieval"]


def test_a_gamma_without_a_target_is_refused():
    with pytest.raises(ValueError, match="expected generation_logits and target_ids for a gamma above 0"):
        VisionLanguageLoss(TaskWeights(gamma=1.0))(outputs(), torch.tensor([0, 1, 2, 3]))


@pytest.mark.parametrize("weights", [(-1.0, 0.1, 0.0), (0.0, 0.0, 0.0)])
def test_weights_below_zero_or_all_zero_are_refused(weights):
    with pytest.raises(ValueError, match="expected none below 0 and one above"):
        TaskWeights(*weights)
