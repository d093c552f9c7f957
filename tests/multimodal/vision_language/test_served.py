"""What is exported takes and returns the tensors of the configurations; what is absent gives zeros."""

import pytest
import torch

from multimodal.vision_language.build import build_vision_language
from multimodal.vision_language.fusion_table import VISION_LANGUAGE_FUSIONS
from multimodal.vision_language.served import PARTS, served_part

from .pairs import TINY, pairs

THERE, AWAY = [[True]], [[False]]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_vision_language(TINY)


def pixels(images):
    """(batch, 1, side, side, 3) uint8."""
    return (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).unsqueeze(1)


def status(*values):
    return torch.tensor(values, dtype=torch.int32)[:, None]


@torch.no_grad()
def run(model, image_valid, text_valid):
    images, ids, mask = pairs(len(image_valid))
    seen, read = torch.tensor(image_valid), torch.tensor(text_valid)
    image_features = served_part(model, "image_encoder")(pixels(images), seen)
    text_features = served_part(model, "text_encoder")(ids, mask, read)
    states = status(*range(len(seen))), status(*range(10, 10 + len(seen)))
    return (
        image_features,
        text_features,
        served_part(model, "fusion")(image_features, text_features, seen, read, *states),
    )


@torch.no_grad()
def test_the_parts_in_a_row_are_the_model(model):
    images, ids, mask = pairs(2)
    _, _, answers = run(model, THERE * 2, THERE * 2)
    whole = model(pixels(images).squeeze(1).permute(0, 3, 1, 2).float() / 255, ids, mask)
    expected = (
        whole["classification_logits"].softmax(dim=1),
        whole["retrieval_visual"],
        whole["retrieval_text"],
        whole["joint_embedding"],
    )
    for one, other in zip(answers, expected, strict=False):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    assert answers[4].tolist() == [[0, 10], [1, 11]]
    assert answers[4].dtype == torch.int32


def test_what_is_absent_gives_zeros_and_what_is_there_does_not(model):
    image_features, text_features, answers = run(model, THERE * 2 + AWAY * 2, THERE + AWAY + THERE + AWAY)
    assert image_features.any(dim=1).tolist() == [True, True, False, False]
    assert text_features.any(dim=1).tolist() == [True, False, True, False]
    probabilities, image, text, fused, _ = answers
    assert probabilities.sum(dim=1).tolist() == pytest.approx([1, 0, 0, 0], abs=1e-6)
    assert image.norm(dim=1).tolist() == pytest.approx([1, 1, 0, 0], abs=1e-5)
    assert text.norm(dim=1).tolist() == pytest.approx([1, 0, 1, 0], abs=1e-5)
    assert fused.norm(dim=1).tolist() == pytest.approx([1, 0, 0, 0], abs=1e-5)


def test_rows_without_any_token_do_no_harm(model):
    _, ids, mask = pairs(2)
    with torch.no_grad():
        features = served_part(model, "text_encoder")(ids * 0, mask * 0, torch.tensor(AWAY + THERE))
    assert torch.isfinite(features).all()


@pytest.mark.parametrize("fusion", VISION_LANGUAGE_FUSIONS)
def test_every_fusion_is_served_with_the_same_shapes(fusion):
    torch.manual_seed(0)
    _, _, answers = run(build_vision_language(TINY, fusion=fusion), THERE, THERE)
    assert [tuple(one.shape) for one in answers] == [(1, 13), (1, 16), (1, 16), (1, 16), (1, 2)]


def test_an_unknown_part_is_refused_with_the_nearest(model):
    with pytest.raises(ValueError, match="did you mean 'image_encoder'"):
        served_part(model, "image_encodr")
    assert list(PARTS) == ["image_encoder", "text_encoder", "fusion"]
