"""The dual-stream fusion encoder: counts, closed forms, masks and symmetries."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from multimodal.visual_question.dual_stream import DualStreamFusionEncoder

SMALL = {"d_model": 8, "n_heads": 2, "d_k": 3, "d_v": 5, "d_ff": 12}
LAST_NORMS = ("outer_norms.1", "feed_forward_norms.1")  # of the second stream, dead from the sum on


def encoder(**sizes: int) -> DualStreamFusionEncoder:
    torch.manual_seed(0)
    return DualStreamFusionEncoder(**{**SMALL, **sizes}).eval()  # type: ignore[arg-type]


def streams(batch: int = 2, length: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn(batch, length, 8, generator=generator) for _ in range(2))  # type: ignore[return-value]


def linear_layers_of_zeros(fusion: DualStreamFusionEncoder) -> DualStreamFusionEncoder:
    for module in fusion.modules():
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    return fusion


@pytest.mark.parametrize(("width", "count"), [(512, 9_469_440), (768, 14_198_784), (1024, 18_928_128)])
def test_parameters_are_as_many_as_published(width: int, count: int):
    with torch.device("meta"):
        fusion = DualStreamFusionEncoder(d_model=width)
    assert sum(parameter.numel() for parameter in fusion.parameters()) == count


def test_six_layers_have_the_published_count():
    with torch.device("meta"):
        fusion = DualStreamFusionEncoder(d_model=512, n_layers=6)
    assert sum(parameter.numel() for parameter in fusion.parameters()) == 18_938_880


@pytest.mark.parametrize(
    ("b", "expected"),
    [
        ([1, 2, 3, 4], [-4.0249, -1.3416, 1.3416, 4.0249]),
        ([-1, -2, -3, -4], [0, 0, 0, 0]),
        ([4, 1, 3, 2], [0, -3.4218, 1.7109, 1.7109]),
    ],
)
def test_without_weights_only_norms_and_the_sum_remain(b: list[float], expected: list[float]):
    fusion = linear_layers_of_zeros(encoder(d_model=4))
    fused, _ = fusion(torch.tensor([[[1.0, 2, 3, 4]]]), torch.tensor([[[float(value) for value in b]]]))
    assert torch.allclose(fused, torch.tensor([[expected]], dtype=torch.float32), atol=1e-4)


def test_fusing_before_the_first_layer_adds_the_streams_as_they_come():
    fusion = linear_layers_of_zeros(encoder(d_model=4, fuse_layer=0))
    a, b = torch.tensor([[[1.0, 2, 3, 4]]]), torch.tensor([[[1.0, 0, 1, 0]]])
    assert torch.allclose(fusion(a, b)[0], nn.functional.layer_norm(a + b, (4,)) + a + b, atol=1e-5)


def test_tokens_in_another_order_give_the_answers_in_that_order():
    fusion, (a, b), order = encoder(), streams(), torch.tensor([3, 0, 4, 1, 2])
    assert torch.allclose(fusion(a[:, order], b[:, order])[0], fusion(a, b)[0][:, order], atol=1e-5)


def test_an_untrained_encoder_does_not_know_which_stream_is_which():
    fusion, (a, b) = encoder(), streams()
    assert torch.allclose(fusion(a, b)[0], fusion(b, a)[0], atol=1e-6)


def test_what_is_masked_does_not_matter_and_masking_equals_cutting():
    fusion, (a, b) = encoder(), streams()
    valid = torch.tensor([[True, True, True, False, False]] * 2)
    other = a.clone()
    other[:, 3:] = 1e3
    fused, kept = fusion(a, b, valid, valid)
    assert torch.equal(fused[:, :3], fusion(other, b, valid, valid)[0][:, :3])
    assert torch.allclose(fused[:, :3], fusion(a[:, :3], b[:, :3])[0], atol=1e-5)
    assert torch.equal(kept, valid)


def test_a_position_that_one_stream_has_is_valid():
    fusion, (a, b) = encoder(), streams()
    first = torch.tensor([[True, False, False, True, True]] * 2)
    second = torch.tensor([[True, True, False, False, True]] * 2)
    assert fusion(a, b, first, second)[1].tolist() == [[True, True, False, True, True]] * 2


def test_nothing_but_masked_positions_gives_finite_numbers():
    fusion, (a, b) = encoder(), streams()
    nothing = torch.zeros(2, 5, dtype=torch.bool)
    fused, valid = fusion(a, b, nothing, nothing)
    assert torch.isfinite(fused).all()
    assert not valid.any()


def test_masks_of_ones_change_nothing():
    fusion, (a, b) = encoder(), streams()
    everything = torch.ones(2, 5, dtype=torch.bool)
    assert torch.allclose(fusion(a, b)[0], fusion(a, b, everything, everything)[0], atol=1e-6)
    assert fusion(a, b)[1].all()


def test_rows_that_sum_to_zero_are_no_padding():
    fusion, (a, b) = encoder(), streams()
    a = a - a.mean(dim=-1, keepdim=True)
    changed = a.clone()
    changed[:, 4] += torch.tensor([3.0, -3, 0, 0, 0, 0, 0, 0])
    assert not torch.allclose(fusion(a, b)[0][:, 0], fusion(changed, b)[0][:, 0], atol=1e-4)


@pytest.mark.parametrize("fuse_layer", [3, 4, -1])
def test_a_fusion_without_a_layer_behind_the_sum_is_refused(fuse_layer: int):
    with pytest.raises(ValueError, match="expected a fuse_layer from 0 to 2, got"):
        encoder(fuse_layer=fuse_layer)


def test_streams_of_different_lengths_are_refused_with_advice():
    a, b = streams()
    with pytest.raises(ValueError, match="resize one grid to the other's first"):
        encoder()(a, b[:, :4])


def test_each_stream_can_have_its_own_norm_within_the_attention():
    shared, own = encoder(), encoder()
    for layer in own.layers:
        layer.independent_attn_norm = True
    a, b = streams()
    for fusion in (shared, own):
        with torch.no_grad():
            fusion.layers[0].attention_norms[1].bias[0] = 2.0
    assert not torch.allclose(shared(a, b)[0], own(a, b)[0], atol=1e-3)


def test_every_weight_but_the_dead_norms_learns():
    fusion, (a, b) = encoder(), streams()
    (fusion(a, b)[0] * torch.arange(8.0)).square().sum().backward()
    still = {
        name
        for name, parameter in fusion.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 1e-6
    }
    norms = {f"layers.{row}.attention_norms.1.{part}" for row in range(3) for part in ("weight", "bias")}
    later = {
        f"layers.{row}.{norm}.{part}" for row in (1, 2) for norm in LAST_NORMS for part in ("weight", "bias")
    }
    keys = {f"layers.{row}.attention.key.bias" for row in range(3)}
    assert norms | later <= still <= norms | later | keys


def test_one_request_is_answered_as_in_a_batch_also_in_training():
    fusion, (a, b) = encoder(), streams()
    assert torch.allclose(fusion(a, b)[0][:1], fusion(a[:1], b[:1])[0], atol=1e-5)
    assert fusion.train()(a[:1], b[:1])[0].shape == (1, 5, 8)
