"""Vision and language from easy-VQA to weights and card, on the tiny preset."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from multimodal.vision_language.build import build_vision_language, trained_fusions, trunk_state
from multimodal.vision_language.fusion_table import VISION_LANGUAGE_FUSIONS
from multimodal.vision_language.presets import VISION_LANGUAGE_PRESETS
from training.easy_vqa import load_split
from training.vision_language_evaluate import (
    confusion_of,
    judge_answers,
    judge_retrieval,
    shuffled_photos,
)
from training.vision_language_features import Pooled, changed, pixels_of, pool_split
from training.vision_language_heads import projected, standardised, train_alone, train_together, unstandardise
from training.vision_language_recipe import VISION_LANGUAGE_RECIPES, vision_language_recipe_of
from training.vision_language_training import easy_vqa, evaluate, train
from training.workplace import Workplace

TINY = VISION_LANGUAGE_PRESETS["vision_language_tiny"]
RECIPE = VISION_LANGUAGE_RECIPES["vision_language_tiny"]


@pytest.fixture(scope="module")
def data():
    return easy_vqa(RECIPE)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Where one whole training read and wrote."""
    folder = tmp_path_factory.mktemp("training")
    place = Workplace(folder / "work", folder / "weights")
    train("vision_language_tiny", place)
    return place


def tiny():
    torch.manual_seed(0)
    return build_vision_language(TINY)


def asked(answer, names=("what color is the shape?", "is there a circle?", "what shape is it?")):
    """A split of as many questions as answers, in turn about a colour, of yes or no, about a shape."""
    rows = torch.arange(len(answer))
    return Pooled(
        torch.zeros(1, 1, 4),
        torch.zeros(3, 4),
        names,
        rows % 3,
        rows * 0,
        torch.tensor(answer),
        rows[:1, None],
    )


def test_photos_are_split_by_photo_and_the_test_split_is_the_official_one():
    whole = easy_vqa(replace(RECIPE, photos=0))
    assert (len(whole["train"].images), len(whole["choose"].images)) == (3600, 400)
    assert (len(whole["test"].images), len(whole["test"].questions)) == (1000, 9673)
    assert not set(whole["train"].image_ids.tolist()) & set(whole["choose"].image_ids.tolist())


def test_photos_of_the_right_size_are_taken_as_they_are():
    image = load_split("test").images[0]
    assert np.array_equal(pixels_of([image], 64)[0], image)
    assert pixels_of([image], 32).shape == (1, 32, 32, 3)


def test_a_changed_photo_is_nearly_the_same_and_the_same_for_the_same_seed():
    image = load_split("test").images[0]
    one, again = (changed(image, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one, again)
    assert one.shape == image.shape and one.dtype == np.uint8
    levels = [
        np.abs(changed(image, np.random.default_rng(seed)).astype(int) - image).mean() for seed in range(20)
    ]
    assert 0 < max(levels) < 10


def test_features_are_read_from_where_they_were_kept(data, tmp_path):
    model = tiny()
    first = pool_split(model, TINY, data["choose"], tmp_path, copies=1)
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = pool_split(model, TINY, data["choose"], tmp_path, copies=1)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == kept
    assert torch.equal(first.photos, again.photos) and torch.equal(first.texts, again.texts)
    assert first.photos.shape == (2, len(data["choose"].images), model.visual.pooled_dim)
    with torch.no_grad():
        model.visual.backbone.stem.batchnorm.weight.add_(1)
    pool_split(model, TINY, data["choose"], tmp_path, copies=1)
    assert len(list(tmp_path.iterdir())) == 2  # another trunk sees otherwise


def test_questions_and_captions_point_at_their_texts(data, tmp_path):
    pooled = pool_split(tiny(), TINY, data["choose"], tmp_path)
    for row in (0, 7):
        assert pooled.names[int(pooled.question[row])] == data["choose"].questions[row]
    first = pooled.names[int(pooled.captions[0, 0])]
    assert first.startswith("a ") and len(first.split()) >= 6


def test_a_layer_that_learnt_on_standardised_input_is_the_same_function_of_the_input():
    torch.manual_seed(0)
    photos = torch.randn(2, 50, 6) * torch.tensor([1.0, 5, 0.5, 20, 2, 3]) + 4
    layer = nn.Linear(6, 3)
    centred, mean, deviation = standardised(photos)
    torch.testing.assert_close(centred.flatten(0, 1).std(dim=0), torch.ones(6))
    with torch.no_grad():
        wanted = layer(centred)
        unstandardise(layer, mean, deviation)
        torch.testing.assert_close(layer(photos), wanted, atol=1e-4, rtol=0)


def test_a_column_that_never_moves_is_not_blown_up():
    photos = torch.cat([torch.randn(1, 50, 3), torch.full((1, 50, 1), 7.0)], dim=2)
    centred, _, _ = standardised(photos)
    assert centred[..., 3].abs().max() == 0


def test_fusions_learn_alone_on_what_was_learnt_together(data, tmp_path):
    model = tiny()
    pooled = pool_split(model, TINY, data["train"], tmp_path)
    before = model.heads.retrieval_visual.weight.clone()
    train_together(model, pooled, RECIPE)
    assert not torch.equal(before, model.heads.retrieval_visual.weight)
    assert torch.equal(model.heads.classifier.weight, model.heads.classifier.weight.half().float())
    features = projected(model, pooled)
    other = train_alone(model, TINY, features, RECIPE, "gated")
    for name, tensor in trunk_state(model).items():
        assert torch.equal(tensor, trunk_state(other)[name]), name
    assert all(parameter.requires_grad for parameter in other.heads.parameters())


def test_answers_are_judged_over_all_and_by_kind():
    given = torch.eye(13)[[0, 1, 2, 3, 4, 4]]
    judged = judge_answers(given, asked([0, 1, 2, 3, 4, 5]))
    assert judged.accuracy == pytest.approx(5 / 6)
    assert judged.kinds == pytest.approx({"colour": 1.0, "yes/no": 1.0, "shape": 0.5})
    assert judged.cross_entropy == pytest.approx(-np.log(1e-12) / 6)


def test_a_confusion_matrix_counts_what_is_right_by_row():
    found = confusion_of(torch.eye(3)[[0, 2, 2]], torch.tensor([0, 1, 2]))
    assert found.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 1]]


def test_shuffling_gives_every_question_another_photo_and_one_photo_one_photo():
    photo = torch.arange(20).repeat_interleave(2)
    dealt = shuffled_photos(20, photo)
    assert (dealt != photo).all()
    assert sorted(dealt[::2].tolist()) == list(range(20))
    assert torch.equal(dealt[::2], dealt[1::2])


def test_retrieval_knows_captions_that_several_photos_share():
    photos, texts = torch.eye(3)[[0, 0, 1, 2]], torch.eye(3)[[0, 1, 2]]
    found, told = judge_retrieval(photos, texts, torch.tensor([0, 0, 1, 2]))
    assert (found.first, told.first) == (1.0, 1.0)
    assert (found.queries, found.candidates, told.queries, told.candidates) == (3, 4, 4, 3)
    assert told.chance == pytest.approx(1 / 3) and found.chance == pytest.approx(1 / 3)
    _, wrong = judge_retrieval(photos, texts.roll(1, 0), torch.tensor([0, 0, 1, 2]))
    assert wrong.first == 0 and wrong.five == 1


def test_a_preset_without_a_recipe_is_refused_with_those_that_have_one():
    with pytest.raises(ValueError, match=r"expected one with a recipe \(vision_language_small"):
        vision_language_recipe_of("vision_language_base")


def test_one_training_leaves_weights_with_a_head_for_every_fusion(trained):
    path = trained.weights / "vision_language_tiny.safetensors"
    assert trained_fusions(path) == tuple(VISION_LANGUAGE_FUSIONS)
    for name in VISION_LANGUAGE_FUSIONS:
        build_vision_language(TINY, path, name)


def test_the_card_names_every_fusion_every_control_and_chance(trained):
    text = (trained.weights / "vision_language_tiny.md").read_text()
    for name in (*VISION_LANGUAGE_FUSIONS, "question only", "shuffled", "by chance", "closed vocabulary"):
        assert name in text
    assert (trained.weights / "vision_language_tiny_answers.png").stat().st_size > 20_000
    figures = json.loads((trained.weights / "vision_language_tiny.json").read_text())
    assert set(figures["fusions"]) == set(figures["choosing"]) == set(VISION_LANGUAGE_FUSIONS)
    assert sum(map(sum, figures["confusion"])) == len(easy_vqa(RECIPE)["test"].questions)


def test_evaluate_writes_the_card_anew_from_the_weights_on_disk(trained):
    card = trained.weights / "vision_language_tiny.md"
    text = card.read_text()
    card.unlink()
    assert evaluate("vision_language_tiny", trained) == card
    assert card.read_text() == text


def test_the_same_seed_gives_the_same_weights(trained, tmp_path):
    place = Workplace(trained.work, tmp_path)
    again = load_file(train("vision_language_tiny", place))
    first = load_file(trained.weights / "vision_language_tiny.safetensors")
    assert all(torch.equal(first[name], again[name]) for name in first)
