"""Training: the parts by their numbers, the whole by running it on the tiny preset."""

import pytest
import torch

from multimodal.build import build, token_widths
from multimodal.presets import PRESETS
from multimodal.weld import FusedAnswer
from multimodal.weld_classes import CLASS_NAMES, MODALITIES
from training.__main__ import main
from training.fusion_stage import TokenSet, accuracy, hide, train_fusion
from training.metrics import classify_by_neighbours
from training.prepared import Augmentation
from training.recipe import EncoderRecipe, FusionRecipe, Recipe

TINY = PRESETS["tiny"]


def separable_tokens(runs_per_class: int) -> TokenSet:
    """Tokens whose class shows in every modality: what an encoder would ideally say."""
    torch.manual_seed(0)
    labels = torch.arange(len(CLASS_NAMES)).repeat_interleave(runs_per_class)
    tokens, valid = {}, {}
    for name, width in token_widths(TINY).items():
        length = TINY.token_count(name)
        tokens[name] = torch.randn(len(CLASS_NAMES), 1, width)[labels].expand(-1, length, -1).clone()
        valid[name] = torch.ones(len(labels), TINY.image.count if name == "image" else 1, dtype=torch.bool)
    return TokenSet(tokens, valid, labels)


def test_two_samples_per_class_are_learned_by_heart():
    data, model = separable_tokens(2), build(TINY)
    recipe = FusionRecipe(epochs=60, batch=24, modality_dropout=0.0, photo_dropout=0.0)
    assert train_fusion(model, data, data, recipe, seed=0) == 1.0
    tokens, valid, labels = data.rows(torch.arange(len(data)))
    with torch.no_grad():
        features = model.fuse(tokens, valid).features.numpy()
    bank = features.repeat(3, axis=0)  # five neighbours need more than two samples of a class
    neighbours = classify_by_neighbours(bank, labels.repeat_interleave(3).numpy(), features, labels.numpy())
    assert neighbours.accuracy == 1.0


def test_the_best_epoch_is_what_stays():
    data, model = separable_tokens(2), build(TINY)
    reached = train_fusion(model, data, data, FusionRecipe(epochs=8, batch=24), seed=0)
    assert accuracy(FusedAnswer(model.fusion, model.norm, model.heads), data) == reached


def test_hiding_leaves_every_run_something_usable():
    valid = {name: torch.ones(500, 1, dtype=torch.bool) for name in MODALITIES}
    valid["image"] = torch.ones(500, 5, dtype=torch.bool)
    valid["video"][:250] = False
    recipe = FusionRecipe(modality_dropout=0.5, photo_dropout=0.5)
    shown = hide(valid, recipe, torch.Generator().manual_seed(3))
    assert torch.stack([shown[name].any(1) for name in MODALITIES], 1).any(1).all()
    assert not any((shown[name] & ~valid[name]).any() for name in MODALITIES)
    hidden = 1 - shown["sensor"].float().mean()
    assert 0.3 < hidden < 0.5  # a half, less the runs that would have lost everything


def test_augmentation_alters_values_and_never_shapes():
    augment = Augmentation(seed=1)
    inputs = {
        "video": torch.rand(2, 4, 3, 32, 32),
        "image": torch.rand(2, 5, 3, 28, 28),
        "audio": torch.randn(2, 64, 128),
        "sensor": torch.randn(2, 32, 6),
    }
    for name, given in inputs.items():
        altered = augment(name, given)
        assert altered.shape == given.shape
        assert not torch.equal(altered, given)
        assert torch.isfinite(altered).all()


def test_augmentation_repeats_itself_from_its_seed():
    series = torch.randn(2, 32, 6)
    assert torch.equal(Augmentation(5)("sensor", series), Augmentation(5)("sensor", series))


@pytest.mark.parametrize(
    ("build_recipe", "sentence"),
    [
        (lambda: EncoderRecipe(epochs=0), "epochs must be at least 1, got 0"),
        (lambda: EncoderRecipe(batch=1), "batch must be at least 2, got 1"),
        (lambda: FusionRecipe(modality_dropout=1.0), "modality_dropout is a share"),
        (lambda: Recipe(runs_per_class=1, encoders={}), "one encoder recipe per modality"),
    ],
)
def test_a_recipe_refuses_nonsense(build_recipe, sentence):
    with pytest.raises(ValueError, match=sentence):
        build_recipe()


def test_a_preset_without_a_recipe_is_named(capsys, tmp_path):
    assert main(["train", "weld_base", "--work", str(tmp_path), "--weights", str(tmp_path)]) == 1
    assert "expected one with a recipe (weld_small, tiny), got 'weld_base'" in capsys.readouterr().err
    assert main(["train", "weld_huge", "--work", str(tmp_path), "--weights", str(tmp_path)]) == 1
    assert "visual_question_answering_tiny, got 'weld_huge'" in capsys.readouterr().err


@pytest.mark.slow
def test_the_training_command_makes_weights_and_a_card_and_goes_on_after_an_interruption(tmp_path, capsys):
    arguments = ["train", "tiny", "--work", str(tmp_path / "work"), "--weights", str(tmp_path / "weights")]
    assert main(arguments) == 0
    weights = tmp_path / "weights" / "tiny.safetensors"
    assert capsys.readouterr().out.strip() == str(weights)
    assert "12-class accuracy" in (tmp_path / "weights" / "tiny.md").read_text()
    first = weights.read_bytes()
    (tmp_path / "work" / "encoders" / "sensor.safetensors").unlink()
    assert main(arguments) == 0
    assert weights.read_bytes() == first
