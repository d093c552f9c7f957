"""Every served part gives what the model gives, and zeros for what is not valid."""

from __future__ import annotations

import pytest
import torch

from multimodal.visual_question.blip import PIXEL_MEAN, PIXEL_STD, BlipPixels
from multimodal.visual_question.served import PARTS, served_part

VALID = torch.tensor([[True], [False]])


@pytest.fixture(scope="session")
def photos():
    return torch.randint(0, 256, (2, 1, 64, 64, 3), generator=torch.Generator().manual_seed(4)).to(
        torch.uint8
    )


def test_photos_are_normalised_as_blip_was_trained():
    pixels = BlipPixels()(torch.full((1, 1, 2, 2, 3), 255, dtype=torch.uint8))
    expected = [(1 - mean) / std for mean, std in zip(PIXEL_MEAN, PIXEL_STD, strict=True)]
    assert pixels.shape == (1, 3, 2, 2)
    assert pixels[0, :, 0, 0].tolist() == pytest.approx(expected)


@torch.no_grad()
def test_the_parts_in_their_order_are_the_model(model, photos, asked, settings, tokenizer):
    ids, mask = asked
    both = torch.ones(2, 1, dtype=torch.bool)
    matching = served_part(model, "matching_encoder")(photos, both)
    captioning = served_part(model, "caption_encoder")(photos, both)
    fused = served_part(model, "fusion")(matching, captioning, both)
    relevance, score = served_part(model, "relevance")(matching, ids, mask, both, both)
    states = served_part(model, "question_encoder")(ids, mask, fused, both, both)
    pixels = BlipPixels()(photos)
    seen = model.fuse_visual_features(pixels)
    heat, match = model.relevance_map(pixels, ids, mask)
    assert torch.equal(fused, seen["fused"])
    assert torch.allclose(relevance, heat, rtol=1e-4, atol=1e-5 * float(heat.max()))
    assert torch.allclose(score, match, atol=1e-6)
    assert torch.equal(states, model.question_states(seen["fused"], ids, mask))


@torch.no_grad()
def test_what_is_not_valid_gives_zeros_and_disturbs_nobody(model, photos, asked):
    ids, mask = asked
    tokens = served_part(model, "matching_encoder")(photos, VALID)
    everywhere = torch.ones(2, 1, dtype=torch.bool)
    said = [
        tokens,
        served_part(model, "caption_encoder")(photos, VALID),
        served_part(model, "fusion")(tokens, tokens, VALID),
        *served_part(model, "relevance")(tokens, ids, mask, everywhere, VALID),
        served_part(model, "question_encoder")(ids, mask, tokens, VALID, everywhere),
    ]
    for tensor in said:
        assert torch.isfinite(tensor).all()
        assert not tensor[1].any()
        assert tensor[0].any()


@torch.no_grad()
def test_a_request_without_a_question_gives_zeros(model, photos):
    nothing = torch.zeros(2, 9, dtype=torch.int64)
    nobody = torch.zeros(2, 1, dtype=torch.bool)
    tokens = served_part(model, "matching_encoder")(photos, ~nobody)
    heat, score = served_part(model, "relevance")(tokens, nothing, nothing, ~nobody, nobody)
    assert not heat.any()
    assert not score.any()


@torch.no_grad()
@pytest.mark.parametrize("part", ["answer_decoder", "caption_decoder", "reader_decoder"])
def test_decoders_leave_out_what_their_mask_leaves_out(model, part):
    decoder = served_part(model, part)
    ids = torch.tensor([[4, 11], [4, 30]])
    generator = torch.Generator().manual_seed(0)
    width = model.reader.config.d_model if part == "reader_decoder" else 48
    states = torch.randn(2, 5, width, generator=generator)
    mask = torch.tensor([[1, 1, 1, 0, 0]] * 2)
    other = states.clone()
    other[:, 3:] = 9.0
    logits = decoder(ids, states, mask)
    assert logits.shape == (2, 2, 92)
    assert torch.allclose(logits, decoder(ids, other, mask), atol=1e-5)
    assert torch.allclose(logits, decoder(ids, states[:, :3], mask[:, :3]), atol=1e-4)
    assert not torch.allclose(logits, decoder(ids, other, torch.ones_like(mask)), atol=1e-3)


@torch.no_grad()
def test_the_reader_reads_every_context_by_itself(model):
    encode = served_part(model, "reader_encoder")
    ids = torch.tensor([[2, 11, 12, 3], [2, 30, 3, 0]])
    states = encode(ids, (ids != 0).long())
    assert torch.allclose(states[1:, :3], encode(ids[1:, :3], torch.ones(1, 3, dtype=torch.int64)), atol=1e-5)


def test_unknown_parts_are_refused_by_name(model):
    assert len(PARTS) == 9
    with pytest.raises(ValueError, match=r"expected one of matching_encoder, .* got 'encoder'"):
        served_part(model, "encoder")
