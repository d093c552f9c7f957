"""The cross-attention fusion's own arithmetic."""

from __future__ import annotations

import pytest
import torch

from multimodal.fusions import WeldCrossAttentionFusion
from multimodal.fusions.weld_cross_attention import WELD_BASE_WIDTHS
from multimodal.presets import Fusion

from .fusion_inputs import LENGTHS, SIZES, WIDTHS, all_valid, parameters, random_tokens


@pytest.fixture
def fusion() -> WeldCrossAttentionFusion:
    torch.manual_seed(0)
    return WeldCrossAttentionFusion(WIDTHS, SIZES).eval()


def closed_form(widths: dict[str, int], width: int, tokens: int) -> int:
    modalities = len(widths)
    project = sum(widths.values()) * width + modalities * width
    attend = modalities * (4 * width**2 + 4 * width) + 2 * modalities * width
    join = modalities * tokens * width * 2 * width + 2 * width + 4 * width + 2 * width * width + width
    return tokens * width + project + attend + join + width**2 + width


def test_the_published_sizes_have_14_831_616_parameters():
    with torch.device("meta"):
        assert parameters(WeldCrossAttentionFusion()) == 14_831_616
    assert closed_form(dict(WELD_BASE_WIDTHS), 512, 4) == 14_831_616


@pytest.mark.parametrize(("width", "heads", "tokens"), [(64, 4, 4), (32, 2, 1), (48, 3, 6)])
def test_the_parameter_count_follows_its_formula(width, heads, tokens):
    fusion = WeldCrossAttentionFusion(WIDTHS, Fusion(width, heads, tokens))
    assert parameters(fusion) == closed_form(WIDTHS, width, tokens)


def test_parts_add_up_as_documented():
    with torch.device("meta"):
        fusion = WeldCrossAttentionFusion()
    counts = {name: parameters(part) for name, part in fusion.projections.items()}
    assert counts == {"video": 524_800, "image": 393_728, "audio": 393_728, "sensor": 131_584}
    assert parameters(fusion.attentions) == 4 * 1_050_624
    assert parameters(fusion.norms) == 4 * 1_024
    assert parameters(fusion.aggregate) == 8_916_480
    assert parameters(fusion.output) == 262_656
    assert fusion.fusion_tokens.numel() == 2_048


def test_reference_lengths_give_their_attention_shapes():
    torch.manual_seed(0)
    lengths = {"video": 8, "image": 5, "audio": 12, "sensor": 256}
    fused, info = WeldCrossAttentionFusion()(random_tokens(4, WELD_BASE_WIDTHS, lengths))
    assert fused.shape == (4, 512)
    assert {name: tuple(rows.shape) for name, rows in info["attention"].items()} == {
        name: (4, 4, length) for name, length in lengths.items()
    }


def test_with_zero_projections_attention_is_uniform_and_all_rows_agree(fusion):
    for projection in fusion.projections.values():
        torch.nn.init.zeros_(projection.weight)
    fused, info = fusion(random_tokens(3))
    for name, rows in info["attention"].items():
        torch.testing.assert_close(rows, torch.full_like(rows, 1 / LENGTHS[name]), atol=1e-6, rtol=0)
    torch.testing.assert_close(fused, fused[:1].expand_as(fused), atol=1e-6, rtol=0)


def test_with_zero_attention_outputs_the_inputs_do_not_matter(fusion):
    for attention in fusion.attentions.values():
        torch.nn.init.zeros_(attention.out.weight)
        torch.nn.init.zeros_(attention.out.bias)
    assert torch.equal(fusion(random_tokens(2, seed=1))[0], fusion(random_tokens(2, seed=2))[0])


def test_a_fully_masked_modality_answers_with_its_output_bias(fusion):
    masks = all_valid(1)
    masks["audio"][:] = False
    attention = fusion.attentions["audio"]
    torch.nn.init.zeros_(attention.out.bias)
    masked = fusion(random_tokens(1), masks)[0]
    absent = fusion(random_tokens(1), masks, torch.tensor([[True, True, False, True]]))[0]
    torch.testing.assert_close(masked, absent, atol=1e-6, rtol=0)
    torch.nn.init.normal_(attention.out.bias)
    assert not torch.allclose(fusion(random_tokens(1), masks)[0], absent, atol=1e-3)


def test_the_order_of_the_fusion_tokens_does_matter(fusion):
    tokens = random_tokens(2)
    before = fusion(tokens)[0]
    with torch.no_grad():
        fusion.fusion_tokens.normal_()
        sharp = fusion(tokens)[0]
        fusion.fusion_tokens.copy_(fusion.fusion_tokens.flip(1))
    assert not torch.allclose(before, sharp)
    assert not torch.allclose(sharp, fusion(tokens)[0], atol=1e-3)


def test_every_parameter_learns_except_the_key_biases(fusion):
    fusion.train()(random_tokens(4))[0].sum().backward()
    for name, parameter in fusion.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        if not name.endswith("key.bias"):  # softmax does not see a shift: zero but for rounding
            assert parameter.grad.abs().max() > 0, name


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="width 30 must be a multiple of heads 4"):
        Fusion(width=30, heads=4)
    with pytest.raises(ValueError, match="at least one token, got 0"):
        Fusion(width=32, heads=4, tokens=0)


def test_proj_dropout_works_in_training_only():
    fusion = WeldCrossAttentionFusion(WIDTHS, SIZES, dropout=0.0, proj_dropout=0.5)
    tokens = random_tokens(2)
    assert torch.equal(fusion.eval()(tokens)[0], fusion(tokens)[0])
    assert not torch.equal(fusion.train()(tokens)[0], fusion(tokens)[0])
