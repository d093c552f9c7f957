"""The trainer learns, remembers the best epoch, and resumes to the bit."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

from multimodal.quality_losses import LossWeights
from training.quality_checkpoint import load_checkpoint, replace_file, save_checkpoint
from training.quality_samples import TensorSamples
from training.quality_trainer import (
    QualityTrainer,
    QualityTraining,
    ask_by_name,
    evaluate,
    learning_rate_in,
    predict,
    train_mode,
)

FRAMES, WIDTH = 4, 3
SHORT = QualityTraining(epochs=5, batch=4, learning_rate=0.01, seed=3)


class Judge(torch.nn.Module):
    """Gated mean of frames, a hidden layer with dropout, a score; everything a regulariser looks at."""

    def __init__(self, seed: int = 0, dropout: float = 0.1) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.gate = torch.nn.Linear(WIDTH, 2)
        self.hidden = torch.nn.Sequential(
            torch.nn.Linear(WIDTH, 16), torch.nn.ReLU(), torch.nn.Dropout(dropout)
        )
        self.score = torch.nn.Linear(16, 1)

    def forward(self, inputs: dict[str, torch.Tensor]) -> dict[str, object]:
        frames = inputs["frames"]  # (batch, FRAMES, WIDTH)
        gates = self.gate(frames.mean(dim=1)).softmax(dim=1)
        frame_scores = self.score(self.hidden(frames)).squeeze(2)
        mixed = gates[:, :1] * frame_scores.mean(dim=1, keepdim=True) + gates[:, 1:] * frame_scores[:, :1]
        attention = (frames @ frames.transpose(1, 2)).softmax(dim=2)
        info = {"gates": gates, "attention": attention}
        return {"quality_score": mixed, "frame_scores": frame_scores, "fusion_info": info}


class Constant(Judge):
    """Gives every clip of a batch the same score, so that no correlation exists."""

    def forward(self, inputs: dict[str, torch.Tensor]) -> dict[str, object]:
        output = super().forward(inputs)
        return {**output, "quality_score": output["quality_score"] * 0 + self.score.bias}


class Interrupted(TensorSamples):
    """Stops the run, as Ctrl-C would, when it is asked for its `last` batch."""

    def __init__(self, samples: TensorSamples, last: int) -> None:
        super().__init__(samples.inputs, samples.targets, samples.frame_targets)
        object.__setattr__(self, "left", [last])

    def batch(self, rows):
        self.left[0] -= 1
        if self.left[0] < 0:
            raise KeyboardInterrupt
        return super().batch(rows)


def clips(count: int = 14, seed: int = 0, sign: float = 1.0) -> TensorSamples:
    """Frames whose first value is the quality, minus the second."""
    frames = torch.rand(count, FRAMES, WIDTH, generator=torch.Generator().manual_seed(seed))
    quality = sign * (frames[..., 0] - frames[..., 1])
    return TensorSamples({"frames": frames}, quality.mean(dim=1), quality)


def same(left: object, right: object) -> bool:
    """Equality to the bit of nested dicts, lists and tensors; NaN equals NaN."""
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right or (left != left and right != right)


# Learning.


def test_a_tiny_set_is_learnt_by_heart():
    settings = QualityTraining(
        epochs=80, batch=7, learning_rate=0.02, loss=LossWeights(plcc=0.1, ranking=0.1)
    )
    model, data = Judge(dropout=0), clips()
    history = QualityTrainer(model, settings, data, data).run()
    report = evaluate(model, data)
    assert report.srcc > 0.97 and report.rmse < 0.05
    assert history[-1]["train_loss"] < history[0]["train_loss"] / 5


def test_frames_learn_from_targets_of_their_own():
    settings = QualityTraining(epochs=60, batch=7, learning_rate=0.02, loss=LossWeights(quality=0, frames=1))
    history = QualityTrainer(Judge(dropout=0), settings, clips(), clips()).run()
    assert history[-1]["train_frames"] < 0.01 < history[0]["train_frames"]


@pytest.mark.parametrize(
    "loss",
    [
        LossWeights(attention=0, sparsity=0),
        LossWeights(criterion="l1", attention=0.1),
        LossWeights(criterion="huber", uniformity=0.1, load_balance=0.1),
        LossWeights(quality=0, plcc=1, ranking=1, ranking_margin=0.1),
    ],
)
def test_every_ablation_runs(loss):
    history = QualityTrainer(Judge(), replace(SHORT, epochs=2, loss=loss), clips(), clips(seed=1)).run()
    assert len(history) == 2 and all(math.isfinite(row["train_loss"]) for row in history)


def test_the_loss_of_an_epoch_is_the_mean_over_clips_not_over_batches():
    data = TensorSamples({"frames": torch.zeros(3, FRAMES, WIDTH)}, torch.tensor([0.0, 0.0, 3.0]))
    model = Constant(dropout=0)
    torch.nn.init.zeros_(model.score.bias)
    settings = QualityTraining(
        epochs=1, batch=2, learning_rate=1e-12, loss=LossWeights(attention=0, sparsity=0)
    )
    history = QualityTrainer(model, settings, data, data).run()
    assert history[0]["train_loss"] == pytest.approx(9 / 3)  # two batches would average 0 and 9, or 4.5 and 0
    assert history[0]["choose_loss"] == pytest.approx(9 / 3)


def test_a_history_tells_every_term_and_every_figure():
    row = QualityTrainer(Judge(), replace(SHORT, epochs=1), clips(), clips(seed=1)).run()[0]
    assert set(row) == {
        *("epoch", "learning_rate", "best", "choose_loss"),
        *(f"train_{term}" for term in ("loss", "quality", "attention", "sparsity")),
        *(
            f"choose_{figure}"
            for figure in ("plcc", "srcc", "krcc", "rmse", "mapped_plcc", "mapped_rmse", "clips")
        ),
    }


def test_gradients_are_clipped():
    settings = replace(SHORT, epochs=1, batch=14, grad_clip=1e-3)
    model = Judge()
    QualityTrainer(model, settings, clips(), clips()).run()
    norm = torch.stack([parameter.grad.norm() for parameter in model.parameters()]).norm()
    assert norm.item() == pytest.approx(1e-3, rel=1e-3)


def test_a_batch_of_one_trains():
    assert QualityTrainer(Judge(), replace(SHORT, epochs=1, batch=1), clips(3), clips(3)).run()


def test_what_is_frozen_stays_as_it_was():
    model = torch.nn.ModuleDict({"trunk": torch.nn.BatchNorm1d(3), "head": torch.nn.Linear(3, 1)})
    for parameter in model["trunk"].parameters():
        parameter.requires_grad_(False)
    train_mode(model)
    assert model.training and model["head"].training and not model["trunk"].training


def test_predictions_come_in_order_whatever_the_batch():
    model, data = Judge().eval(), clips(5)
    whole, targets = predict(model, data)
    parts, _ = predict(model, data, batch=2)
    torch.testing.assert_close(whole, parts)
    assert whole.shape == (5,) and torch.equal(targets, data.targets)


def test_progress_goes_to_stderr(capsys):
    QualityTrainer(Judge(), replace(SHORT, epochs=1), clips(), clips()).run()
    printed = capsys.readouterr()
    assert printed.out == "" and "quality: 100%" in printed.err


def test_a_model_may_take_its_inputs_by_name():
    class ByName(Judge):
        def forward(self, frames):
            return super().forward({"frames": frames})

    data = clips()
    by_name = QualityTrainer(ByName(), SHORT, data, data, ask=ask_by_name).run()
    assert same(by_name, QualityTrainer(Judge(), SHORT, data, data).run())


# The learning rate.


def test_without_warm_up_the_rate_is_pytorchs_cosine():
    settings = QualityTraining(epochs=10, learning_rate=0.1)
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=10)
    for epoch in range(10):
        assert learning_rate_in(epoch, settings) == pytest.approx(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()


def test_a_warm_up_rises_in_equal_steps_to_the_peak():
    settings = QualityTraining(epochs=10, learning_rate=0.4, warm_up=3)
    rates = [learning_rate_in(epoch, settings) for epoch in range(10)]
    assert rates[:4] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert rates[3:] == sorted(rates[3:], reverse=True) and rates[-1] > 0


# The best epoch.


def test_the_model_ends_with_the_weights_of_the_epoch_that_ranked_best(tmp_path):
    model, choose = Judge(), clips(seed=1)
    trainer = QualityTrainer(model, SHORT, clips(), choose, tmp_path)
    history = trainer.run()
    best = max(history, key=lambda row: row["choose_srcc"])
    kept = load_checkpoint(tmp_path / "best.pt")
    assert trainer.best["epoch"] == kept["epoch"] == best["epoch"]
    assert same(dict(model.state_dict()), kept["model"])
    assert evaluate(model, choose).srcc == best["choose_srcc"] == kept["srcc"]
    assert kept["figures"] == best
    assert not model.training


def test_a_model_that_gets_worse_keeps_its_best_epoch_not_its_last():
    opposite = clips(seed=1, sign=-1)
    settings = QualityTraining(epochs=30, batch=4, learning_rate=0.02)
    trainer = QualityTrainer(Judge(dropout=0), settings, clips(), opposite)
    history = trainer.run()
    assert history[0]["best"] and not history[-1]["best"]
    assert trainer.best["srcc"] == max(row["choose_srcc"] for row in history) > history[-1]["choose_srcc"]
    assert history[-1]["choose_srcc"] < -0.5


def test_told_to_a_model_keeps_its_last_epoch_whatever_ranks_better():
    opposite = clips(seed=1, sign=-1)
    settings = QualityTraining(epochs=30, batch=4, learning_rate=0.02, keep="last")
    model = Judge(dropout=0)
    history = QualityTrainer(model, settings, clips(), opposite).run()
    assert history[0]["choose_srcc"] > history[-1]["choose_srcc"]
    assert evaluate(model, opposite).srcc == history[-1]["choose_srcc"]


def test_an_epoch_that_is_neither_best_nor_last_cannot_be_kept():
    with pytest.raises(ValueError, match="expected to keep the best or the last, got first"):
        QualityTraining(keep="first")


def test_without_any_srcc_the_run_goes_on_and_keeps_the_last_weights(tmp_path):
    model = Constant()
    history = QualityTrainer(model, SHORT, clips(), clips(seed=1), tmp_path).run()
    assert len(history) == 5
    assert all(math.isnan(row["choose_srcc"]) and not row["best"] for row in history)
    assert not (tmp_path / "best.pt").exists()
    assert same(dict(model.state_dict()), dict(load_checkpoint(tmp_path / "checkpoint.pt")["model"]))
    rows = json.loads((tmp_path / "history.json").read_text(), parse_constant=pytest.fail)
    assert [row["choose_srcc"] for row in rows] == [None] * 5


def test_the_first_srcc_that_exists_is_the_best_so_far():
    class Late(Judge):
        epochs = 0

        def forward(self, inputs):
            output = super().forward(inputs)
            self.epochs += not self.training and inputs["frames"].shape[0] == 14
            late = self.training or self.epochs > 2
            return output if late else {**output, "quality_score": torch.full((14, 1), math.nan)}

    settings = replace(SHORT, batch=14)
    history = QualityTrainer(Late(), settings, clips(), clips(seed=1)).run()
    assert [row["best"] for row in history[:3]] == [False, False, True]


def test_a_loss_that_is_no_number_stops_the_run_and_leaves_what_was_saved(tmp_path):
    data = clips()
    QualityTrainer(Judge(), replace(SHORT, epochs=1), data, data, tmp_path).run()
    before = (tmp_path / "checkpoint.pt").read_bytes()
    broken = TensorSamples(data.inputs, data.targets * math.nan)
    with pytest.raises(FloatingPointError, match="got nan in epoch 1; lower the learning rate"):
        QualityTrainer(Judge(), SHORT, broken, data, tmp_path).run()
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


# Repeating and resuming.


def test_the_seed_decides_everything():
    first, again, other = (
        QualityTrainer(Judge(), replace(SHORT, seed=seed), clips(), clips(seed=1)) for seed in (3, 3, 4)
    )
    assert same(first.run(), again.run())
    assert same(first.best, again.best)
    assert not same(first.history, other.run())


@pytest.mark.parametrize("batches", [4, 12, 14])  # an epoch reads 4 batches to learn from
def test_an_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(batches, tmp_path):
    data, choose = clips(), clips(seed=1)
    whole = QualityTrainer(Judge(), SHORT, data, choose, tmp_path / "whole")
    whole.run()
    halted = QualityTrainer(Judge(), SHORT, Interrupted(data, batches), choose, tmp_path / "halted")
    with pytest.raises(KeyboardInterrupt):
        halted.run()
    torch.manual_seed(99)  # whatever else happened meanwhile
    resumed = QualityTrainer(Judge(seed=7), SHORT, data, choose, tmp_path / "halted")
    assert resumed.resume() == batches // 4
    resumed.run()
    for name in ("checkpoint.pt", "best.pt"):
        assert same(*(load_checkpoint(tmp_path / run / name) for run in ("whole", "halted"))), name
    assert same(whole.history, resumed.history)
    assert same(dict(whole.model.state_dict()), dict(resumed.model.state_dict()))


def test_a_finished_run_that_is_resumed_does_nothing_and_gives_the_best_weights(tmp_path):
    first = QualityTrainer(Judge(), SHORT, clips(), clips(seed=1), tmp_path)
    first.run()
    again = QualityTrainer(Judge(seed=7), SHORT, clips(), clips(seed=1), tmp_path)
    assert again.resume() == 5
    assert same(again.run(), first.history)
    assert same(dict(first.model.state_dict()), dict(again.model.state_dict()))


def test_without_a_checkpoint_there_is_nothing_to_resume(tmp_path):
    assert QualityTrainer(Judge(), SHORT, clips(), clips(), tmp_path).resume() == 0
    assert QualityTrainer(Judge(), SHORT, clips(), clips()).resume() == 0


def test_a_checkpoint_of_other_settings_or_clips_is_refused_in_a_sentence(tmp_path):
    QualityTrainer(Judge(), replace(SHORT, epochs=1), clips(), clips(), tmp_path).run()
    with pytest.raises(
        ValueError, match=r"same settings in .*, got other epochs, seed; choose another folder"
    ):
        QualityTrainer(Judge(), replace(SHORT, seed=4), clips(), clips(), tmp_path).resume()
    with pytest.raises(ValueError, match="got other clips"):
        QualityTrainer(Judge(), replace(SHORT, epochs=1), clips(15), clips(), tmp_path).resume()


def test_a_checkpoint_holds_no_code(tmp_path):
    QualityTrainer(Judge(), replace(SHORT, epochs=1), clips(), clips(), tmp_path).run()
    for name in ("checkpoint.pt", "best.pt"):
        state = torch.load(tmp_path / name, weights_only=True)
        assert state["settings"]["loss"]["criterion"] == "mse"


def test_a_file_that_is_no_checkpoint_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"half a file")
    with pytest.raises(ValueError, match=r"expected tensors and plain values in .*, got something else"):
        load_checkpoint(tmp_path / "checkpoint.pt")


def test_a_save_that_fails_leaves_the_checkpoint_before_it(tmp_path):
    path = tmp_path / "deep" / "checkpoint.pt"
    save_checkpoint(path, {"epoch": 1})

    def torn(file) -> None:
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        replace_file(path, torn)
    assert load_checkpoint(path) == {"epoch": 1}
    save_checkpoint(path, {"epoch": 2})
    assert load_checkpoint(path) == {"epoch": 2}
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"epochs": 0}, "at least 1 epoch, got 0"),
        ({"batch": 0}, "a batch of at least 1, got 0"),
        ({"learning_rate": 0.0}, "a finite learning_rate above 0, got 0.0"),
        ({"grad_clip": math.inf}, "a finite grad_clip above 0, got inf"),
        ({"weight_decay": -1.0}, "weight_decay of at least 0, got -1.0"),
        ({"epochs": 3, "warm_up": 3}, r"warm_up in \[0, epochs\), got 3 of 3"),
    ],
)
def test_nonsense_settings_are_refused_in_a_sentence(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        QualityTraining(**settings)


def test_nothing_to_train_on_to_choose_by_or_to_train_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="expected clips to train on, got none"):
        QualityTrainer(Judge(), SHORT, clips(0), clips())
    with pytest.raises(ValueError, match="at least 2 clips to choose by, got 1"):
        QualityTrainer(Judge(), SHORT, clips(), clips(1))
    with pytest.raises(ValueError, match="all of it is frozen"):
        QualityTrainer(Judge().requires_grad_(False), SHORT, clips(), clips())
