"""One trainer for any vision-language model: it learns, on the processor there is, and says what of."""

from dataclasses import replace

import pytest
import torch

from multimodal.vision_language.build import build_vision_language
from multimodal.vision_language.losses import TaskWeights
from multimodal.vision_language.presets import VISION_LANGUAGE_PRESETS
from training.vision_language_trainer import VisionLanguageBatch, VLMTrainer

TINY = VISION_LANGUAGE_PRESETS["vision_language_tiny"]
WITH_GENERATION = TaskWeights(1.0, 0.1, 0.5)


def batch(count=4):
    generator = torch.Generator().manual_seed(0)
    side, length = TINY.photo.size_px, TINY.words.tokens
    return VisionLanguageBatch(
        torch.randn(count, 3, side, side, generator=generator),
        torch.randint(0, TINY.words.vocabulary, (count, length), generator=generator),
        torch.ones(count, length, dtype=torch.int64),
        torch.arange(count) % TINY.classes,
    )


def trainer(gamma=0.0, lr=1e-3, weights=None, device=None):
    torch.manual_seed(0)
    return VLMTrainer(build_vision_language(TINY, gamma=gamma), device, lr, weights)


def test_a_fixed_batch_is_learnt_by_heart():
    learner = trainer()
    first = learner.train_step(batch())
    for _ in range(50):
        last = learner.train_step(batch())
    assert list(last) == ["total", "classification", "retrieval"]
    assert all(isinstance(value, float) for value in last.values())
    assert last["total"] < 0.5 * first["total"]
    assert last["retrieval"] < 0.5 * first["retrieval"]


def test_the_device_is_the_one_there_is():
    learner = trainer()
    assert learner.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert next(learner.model.parameters()).device.type == learner.device.type


def test_generation_is_a_third_task_of_a_model_with_a_decoder():
    learner = trainer(gamma=0.5, weights=WITH_GENERATION, device="cpu")
    target = torch.randint(1, 40, (4, 6), generator=torch.Generator().manual_seed(1))
    told = replace(batch(), target_ids=target)
    first = learner.train_step(told)
    for _ in range(40):
        last = learner.train_step(told)
    assert last["generation"] < first["generation"]


@pytest.mark.parametrize(("gamma", "weights"), [(0.0, WITH_GENERATION), (0.5, None)])
def test_a_decoder_and_a_gamma_go_together(gamma, weights):
    with pytest.raises(ValueError, match="expected a decoder exactly where gamma is above 0"):
        trainer(gamma=gamma, weights=weights)


def test_the_scale_of_retrieval_learns_too():
    learner = trainer(device="cpu")
    before = float(learner.loss.retrieval.scale.detach())
    learner.train_step(batch())
    assert float(learner.loss.retrieval.scale.detach()) != before


def test_one_pair_at_a_time_can_be_learnt_from():
    assert trainer(device="cpu").train_step(batch(1))["retrieval"] == 0


def test_judging_changes_nothing_and_restores_the_mode():
    learner = trainer(device="cpu")
    learner.model.train()
    before = {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}
    first, second = learner.judge(batch()), learner.judge(batch())
    assert first == second
    assert learner.model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in learner.model.state_dict().items())


def test_a_frozen_trunk_does_not_move():
    torch.manual_seed(0)
    model = build_vision_language(TINY)
    model.visual.backbone.freeze()
    model.text.freeze_backbone()
    before = {name: one.clone() for name, one in model.state_dict().items() if ".backbone." in name}
    learner = VLMTrainer(model, "cpu", 1e-2)
    learner.train_step(batch())
    after = model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_parts_of_a_batch_belong_together():
    with pytest.raises(ValueError, match=r"expected as many photos, texts and labels, got \[3, 4\]"):
        replace(batch(), labels=torch.zeros(3, dtype=torch.int64))
