"""The arithmetic of the quality fusions that attend, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from multimodal.attention import MultiHeadAttention
from multimodal.fusions import (
    BiDirectionalCrossAttention,
    SelfAttentionFusion,
    SpatioTemporalCrossAttention,
    VectorCrossAttention,
)

from .clip_inputs import SIZES, WIDTHS, assemble, random_clip, uniform, zero
from .fusion_inputs import parameters

UNASKED = ("query.weight", "query.bias", "key.weight", "key.bias")


def identity(layer: nn.Linear) -> None:
    nn.init.eye_(layer.weight)
    nn.init.zeros_(layer.bias)


def pair(batch: int = 4, width: int = 16, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    numbers = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(batch, width, generator=numbers) for _ in range(2))


def gradients(module: nn.Module, attention: MultiHeadAttention, output: torch.Tensor) -> dict[str, float]:
    (output * torch.arange(output.numel()).view_as(output)).sum().backward()
    return {name: attention.get_parameter(name).grad.abs().max().item() for name in UNASKED}


@pytest.mark.parametrize("width", [8, 64])
def test_parameter_counts_follow_their_formulas(width):
    attention = 4 * width**2 + 4 * width
    block = attention + 2 * 2 * width + 8 * width**2 + 5 * width
    assert parameters(VectorCrossAttention(width, 4)) == block
    join = 2 * width**2 + width + width**2 + width
    assert parameters(BiDirectionalCrossAttention(width, 4)) == 2 * block + join
    views = 2 * width + attention + 2 * width + 2 * width**2 + width
    assert parameters(SelfAttentionFusion(width, 4)) == views
    crossed = SpatioTemporalCrossAttention(10, 20, width, 4)
    assert parameters(crossed) == 31 * width + width + attention + 2 * width**2 + width


@pytest.mark.parametrize(("dims", "count"), [((1792, 2304, 512), 3_673_600), ((256, 256, 512), 1_838_592)])
def test_space_time_attention_has_its_published_counts_at_other_widths(dims, count):
    with torch.device("meta"):
        assert parameters(SpatioTemporalCrossAttention(*dims)) == count


def test_with_zero_attention_and_feed_forward_a_query_is_only_normalised():
    fusion = VectorCrossAttention(8, 2).eval()
    zero(fusion.attention)
    zero(fusion.feed_forward)
    answer, _ = fusion(torch.arange(1.0, 9.0)[None], torch.randn(1, 8))
    expected = torch.tensor([[-1.5275, -1.0911, -0.6547, -0.2182, 0.2182, 0.6547, 1.0911, 1.5275]])
    torch.testing.assert_close(answer, expected, atol=1e-4, rtol=0)


def test_over_a_single_key_attention_is_one_whatever_is_asked():
    torch.manual_seed(0)
    fusion = VectorCrossAttention(16, 4, include_self=False).eval()
    query, key = pair()
    _, info = fusion(query, key)
    assert torch.equal(info["attention"], torch.ones(4, 4, 1, 1))
    answers, _ = fusion.attention(query[:, None], key[:, None])
    attention = fusion.attention
    torch.testing.assert_close(answers[:, 0], attention.out(attention.value(key)))


def test_over_a_single_key_the_query_and_key_projections_neither_count_nor_learn():
    torch.manual_seed(0)
    fusion = VectorCrossAttention(16, 4, dropout=0.0, include_self=False)
    query, key = pair()
    before, _ = fusion(query, key)
    assert gradients(fusion, fusion.attention, before) == dict.fromkeys(UNASKED, 0.0)
    zero(fusion.attention.query)
    zero(fusion.attention.key)
    assert torch.equal(fusion(query, key)[0], before)


def test_at_the_published_width_that_would_be_525_312_dead_parameters():
    with torch.device("meta"):
        attention = VectorCrossAttention().attention
    assert sum(attention.get_parameter(name).numel() for name in UNASKED) == 525_312


def test_a_query_beside_the_key_makes_attention_depend_on_the_data():
    torch.manual_seed(0)
    fusion = VectorCrossAttention(16, 4, dropout=0.0)
    query, key = pair()
    answer, info = fusion(query, key)
    assert answer.shape == (4, 16)
    assert info["attention"].shape == (4, 4, 1, 2)
    assert info["attention"].std() > 1e-3
    learned = gradients(fusion, fusion.attention, answer)
    assert learned["query.weight"] > 1e-4 and learned["key.weight"] > 1e-4
    assert parameters(fusion) == parameters(VectorCrossAttention(16, 4, include_self=False))


def test_sequences_are_asked_as_they_are_and_answers_keep_the_shape_of_their_queries():
    fusion = VectorCrossAttention(16, 4).eval()
    answers, info = fusion(torch.randn(2, 5, 16), torch.randn(2, 7, 16))
    assert answers.shape == (2, 5, 16)
    assert info["attention"].shape == (2, 4, 5, 7)
    assert fusion(torch.randn(2, 16), torch.randn(2, 7, 16))[0].shape == (2, 16)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_both_directions_give_a_pair_at_every_batch_size(batch):
    fusion = BiDirectionalCrossAttention(16, 4).eval()
    fused, info = fusion(*pair(batch))
    assert fused.shape == (batch, 16)
    assert set(info) == {"attention_1_to_2", "attention_2_to_1", "evidence"}


def test_evidence_is_the_attention_averaged_as_the_answers_are():
    torch.manual_seed(0)
    fusion, clip = BiDirectionalCrossAttention(16, 4).eval(), random_clip(2)
    _, info = fusion.fuse_clip(clip)
    forth, back = info["attention_1_to_2"].mean(dim=1), info["attention_2_to_1"].mean(dim=1)
    weights = clip.frame_weights[:, None]  # (batch, 1, questions)
    torch.testing.assert_close(info["evidence"], torch.cat([weights @ forth, weights @ back], dim=1))


def test_a_frame_of_weight_one_answers_alone():
    torch.manual_seed(0)
    fusion = VectorCrossAttention(16, 4).eval()
    third = torch.zeros(2, 8).index_fill(1, torch.tensor([2]), 1.0)
    clip = random_clip(2, weights=third)
    answers, _ = fusion(clip.spatial, clip.temporal)
    torch.testing.assert_close(fusion.fuse_clip(clip)[0], answers[:, 2])


def test_weights_for_other_steps_than_the_frames_are_left_to_the_temporal_side():
    torch.manual_seed(0)
    fusion = VectorCrossAttention(16, 4).eval()
    clip = random_clip(2, frames=5)
    answers, _ = fusion(clip.spatial, clip.temporal)
    torch.testing.assert_close(fusion.fuse_clip(clip)[0], answers.mean(dim=1))


def test_the_shorter_row_of_evidence_ends_in_zeros():
    fusion = SpatioTemporalCrossAttention.from_sizes(WIDTHS, SIZES).eval()
    _, info = fusion.fuse_clip(random_clip(2, frames=5))
    assert info["evidence"].shape == (2, 2, 8)
    assert (info["evidence"][:, 1, 5:] == 0).all()


def test_the_order_of_two_inputs_matters_to_self_attention():
    torch.manual_seed(0)
    fusion = SelfAttentionFusion(16, 4).eval()
    first, second = pair()
    forward, _ = fusion((first, second))
    assert not torch.allclose(forward, fusion((second, first))[0], atol=1e-2)


def test_self_attention_shows_who_looks_at_whom_of_any_number_of_inputs():
    fusion = SelfAttentionFusion(16, 4, num_inputs=3).eval()
    fused, info = fusion([torch.randn(2, 16) for _ in range(3)])
    assert fused.shape == (2, 16)
    assert info["attention"].shape == (2, 3, 3)


def test_positions_start_small_beside_normal_features():
    torch.manual_seed(0)
    assert 0.015 < SelfAttentionFusion().positions.std() < 0.025


def single_key_space_time(include_self: bool) -> SpatioTemporalCrossAttention:
    """Identity projections; the output is the spatial half of the answers."""
    fusion = SpatioTemporalCrossAttention(8, 8, 8, 2, include_self=include_self).eval()
    layers = (fusion.spatial, fusion.temporal, fusion.attention.value, fusion.attention.out)
    for layer in layers:
        identity(layer)
    identity(fusion.output)  # 8 x 16: [I 0]
    return fusion


def test_over_single_vectors_the_spatial_half_would_hold_nothing_but_the_temporal_view():
    spatial, temporal = pair(width=8)
    torch.testing.assert_close(single_key_space_time(include_self=False)(spatial, temporal)[0], temporal)


def test_whoever_asks_a_single_vector_is_a_key_too():
    torch.manual_seed(0)
    fusion = single_key_space_time(include_self=True)
    spatial, temporal = pair(width=8)
    zero(fusion.attention.query)  # even attention over both
    torch.testing.assert_close(fusion(spatial, temporal)[0], (spatial + temporal) / 2)


def test_dead_projections_of_space_time_attention_live_with_a_second_key():
    query, key = pair(width=8)
    torch.manual_seed(0)
    for include_self in (False, True):
        fusion = SpatioTemporalCrossAttention(8, 8, 8, 2, dropout=0.0, include_self=include_self)
        learned = gradients(fusion, fusion.attention, fusion(query, key)[0])
        assert (learned["query.weight"] > 0) == include_self


def test_spatial_answers_count_alike_and_temporal_ones_by_their_weight():
    torch.manual_seed(0)
    fusion = SpatioTemporalCrossAttention.from_sizes(WIDTHS, SIZES).eval()
    clip = random_clip(2)
    plain, _ = fusion(clip.spatial, clip.temporal)
    even, _ = fusion(clip.spatial, clip.temporal, uniform(2))
    torch.testing.assert_close(plain, even, atol=1e-6, rtol=0)
    drawn, info = fusion.fuse_clip(clip)
    assert not torch.allclose(plain, drawn, atol=1e-3)
    back = info["attention_temporal_to_spatial"].mean(dim=1)
    torch.testing.assert_close(info["evidence"][:, 1:], clip.frame_weights[:, None] @ back)


def test_frames_in_another_order_with_their_weights_give_the_same_answer():
    order = torch.tensor([3, 1, 0, 2, 7, 5, 6, 4])
    clip = random_clip(2)
    moved = assemble(
        clip.spatial[:, order],
        clip.temporal[:, order],
        clip.frame_weights[:, order],
        clip.spatial_maps,
        clip.temporal_levels,
    )
    for kind in (VectorCrossAttention, BiDirectionalCrossAttention, SpatioTemporalCrossAttention):
        fusion = kind.from_sizes(WIDTHS, SIZES).eval()
        fused, info = fusion.fuse_clip(clip)
        shuffled, shown = fusion.fuse_clip(moved)
        torch.testing.assert_close(shuffled, fused, atol=1e-5, rtol=0)
        torch.testing.assert_close(shown["evidence"], info["evidence"][..., order], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("build", "inputs", "sentence"),
    [
        (lambda: VectorCrossAttention(0), None, "feature_dim of at least 1, got 0"),
        (lambda: VectorCrossAttention(30, 4), None, "width 30, heads 4"),
        (lambda: SelfAttentionFusion(16, 4, num_inputs=0), None, "num_inputs of at least 1, got 0"),
        (lambda: SpatioTemporalCrossAttention(0, 8), None, "spatial_dim of at least 1, got 0"),
        (lambda: VectorCrossAttention(16, 4), ((2, 16), (2, 12)), r"input 2 of width 16 .* got \(2, 12\)"),
        (lambda: VectorCrossAttention(16, 4), ((1, 16), (3, 16)), "one batch, got 1 rows in input 1 and 3"),
        (lambda: VectorCrossAttention(16, 4), ((2, 1, 3, 16),) * 2, "on 2 or 3 axes"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(build, inputs, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()(*(torch.zeros(shape) for shape in inputs))


def test_a_number_of_inputs_that_the_fusion_was_not_built_for_is_refused():
    with pytest.raises(ValueError, match="expected 2 inputs, one per width, got 3"):
        SelfAttentionFusion(16, 4)([torch.zeros(1, 16)] * 3)


def test_weights_that_fit_no_answers_are_refused():
    clip = random_clip(2)
    with pytest.raises(ValueError, match=r"a weight for each of \(2, 8\) answers, got \(2, 3\)"):
        BiDirectionalCrossAttention(16, 4)(clip.spatial, clip.temporal, None, uniform(2, 3))
