"""The arithmetic of the quality fusions that join levels, and of the plain one, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from multimodal.fusions import (
    ConcatenationFusion,
    HierarchicalFeatureFusion,
    MultiLevelFusion,
    PyramidFeatureFusion,
)
from multimodal.fusions.perceptron import perceptron

from .clip_inputs import SIZES, WIDTHS, random_clip, zero
from .fusion_inputs import parameters


def vectors(*widths: int, batch: int = 2) -> list[torch.Tensor]:
    numbers = torch.Generator().manual_seed(0)
    return [torch.randn(batch, width, generator=numbers) for width in widths]


def maps(*shapes: tuple[int, int, int]) -> list[torch.Tensor]:
    numbers = torch.Generator().manual_seed(0)
    return [torch.randn(2, *shape, generator=numbers) for shape in shapes]


def averaging_pyramid(levels: int) -> PyramidFeatureFusion:
    """One channel throughout, passed on by laterals and smoothing; the output is each level's average."""
    fusion = PyramidFeatureFusion((1,) * levels, 1).eval()
    zero(fusion)
    for lateral, smooth in zip(fusion.lateral, fusion.smooth, strict=True):
        nn.init.ones_(lateral.weight)
        smooth.weight.data[0, 0, 1, 1] = 1.0
    fusion.join = nn.Identity()
    return fusion


def test_a_hierarchy_of_zeros_answers_with_its_last_bias():
    fusion = HierarchicalFeatureFusion((4, 6, 8), 5).eval()
    zero(fusion)
    fusion.output[-1].bias.data.fill_(2.0)
    assert torch.equal(fusion(vectors(4, 6, 8))[0], torch.full((2, 5), 2.0))


def test_one_level_is_a_hierarchy_without_joints():
    fusion = HierarchicalFeatureFusion((6,), 5).eval()
    assert len(fusion.join) == 0
    fused, info = fusion(vectors(6))
    assert fused.shape == (2, 5)
    assert info == {}


def test_the_order_of_levels_matters_in_a_hierarchy():
    torch.manual_seed(0)
    fusion = HierarchicalFeatureFusion((6, 6, 6), 5).eval()
    levels = vectors(6, 6, 6)
    for align in fusion.align[1:]:
        align.load_state_dict(fusion.align[0].state_dict())
    assert not torch.allclose(fusion(levels)[0], fusion(levels[::-1])[0], atol=1e-3)


def test_a_hierarchy_takes_stages_then_space_then_time():
    torch.manual_seed(0)
    fusion, clip = HierarchicalFeatureFusion.from_sizes(WIDTHS, SIZES).eval(), random_clip(2)
    assert fusion.feature_dims == (4, 6, 8, 10, 16, 16)
    levels = [*(stage.mean(dim=(2, 3)) for stage in clip.spatial_maps), clip.spatial_vector]
    expected, _ = fusion([*levels, clip.temporal_vector])
    assert torch.equal(fusion.fuse_clip(clip)[0], expected)


def test_constant_maps_add_up_from_the_top_of_a_pyramid():
    sides, values = (8, 4, 2, 1), (1.0, 10.0, 100.0, 1000.0)
    levels = [torch.full((1, 1, side, side), value) for side, value in zip(sides, values, strict=True)]
    fine_to_coarse, _ = averaging_pyramid(4)(levels)
    assert fine_to_coarse[0].tolist() == [1111, 1110, 1100, 1000]


def test_a_coarse_map_is_resized_bilinearly_between_pixel_centres():
    fine, coarse = torch.zeros(1, 1, 1, 4), torch.tensor([[[[0.0, 4.0]]]])
    fusion = averaging_pyramid(2)
    nn.init.zeros_(fusion.smooth[0].weight)
    fusion.smooth[0].weight.data[0, 0, 1, 0] = 1.0  # reads the pixel to the left: 0, 0, 1, 3 of 0, 1, 3, 4
    pooled, _ = fusion([fine, coarse])
    assert pooled[0].tolist() == [1.0, 2.0]


def test_maps_with_odd_sides_fit_into_one_pyramid():
    fusion = PyramidFeatureFusion((3, 4, 5), 6).eval()
    fused, info = fusion(maps((3, 13, 11), (4, 7, 5), (5, 3, 3)))
    assert fused.shape == (2, 6)
    assert info == {}


def test_a_pyramid_has_the_temporal_view_on_top():
    torch.manual_seed(0)
    fusion, clip = PyramidFeatureFusion.from_sizes(WIDTHS, SIZES).eval(), random_clip(2)
    assert fusion.feature_dims == (4, 6, 8, 10, 16)
    expected, _ = fusion([*clip.spatial_maps, clip.temporal_vector[:, :, None, None]])
    assert torch.equal(fusion.fuse_clip(clip)[0], expected)


@pytest.mark.parametrize(
    ("spatial", "temporal", "count"),
    [
        ((64, 128, 256), (32, 64, 128), 3_268_611),
        ((256, 512, 1024), (256, 512, 1024), 6_037_507),
        ((256, 512, 1024, 2048), (256, 512, 1024, 2048), 9_970_179),
    ],
)
def test_multi_level_fusion_has_its_published_counts(spatial, temporal, count):
    with torch.device("meta"):
        assert parameters(MultiLevelFusion(spatial, temporal)) == count


def test_the_last_level_but_one_counts_by_itself_and_by_how_its_views_relate():
    torch.manual_seed(0)
    fusion = MultiLevelFusion((3, 4, 5), (6, 7, 8), 16, 4).eval()
    spatial, temporal = vectors(3, 4, 5), vectors(6, 7, 8)
    expected = [
        fusion.early[0](torch.cat([spatial[0], temporal[0]], dim=-1)),
        fusion.early[1](torch.cat([spatial[1], temporal[1]], dim=-1)),
        fusion.middle(spatial[1], temporal[1])[0],
        fusion.late(spatial[2], temporal[2])[0],
    ]
    score, info = fusion(spatial, temporal)
    torch.testing.assert_close(score, fusion.score(torch.cat(expected, dim=-1)))
    assert torch.equal(info["gates"], fusion.late(spatial[2], temporal[2])[1]["gates"])


def test_a_late_gate_of_zeros_shares_evenly():
    fusion = MultiLevelFusion((3, 4), (5, 6), 16, 4).eval()
    zero(fusion.late.gate)
    score, info = fusion(vectors(3, 4), vectors(5, 6))
    assert score.shape == (2, 1)
    assert torch.equal(info["gates"], torch.full((2, 2), 0.5))


def test_the_cross_attention_between_two_vectors_of_a_level_is_alive():
    torch.manual_seed(0)
    fusion = MultiLevelFusion((3, 4), (5, 6), 16, 4, dropout=0.0, attention_dropout=0.0)
    fusion(vectors(3, 4), vectors(5, 6))[0].sum().backward()
    assert fusion.middle.attention.query.weight.grad.abs().max() > 0


def test_concatenation_is_one_linear_layer():
    torch.manual_seed(0)
    fusion = ConcatenationFusion(3, 5, 4)
    spatial, temporal = vectors(3, 5)
    fused, info = fusion(spatial, temporal)
    torch.testing.assert_close(fused, fusion.output(torch.cat([spatial, temporal], dim=-1)))
    assert parameters(fusion) == (3 + 5 + 1) * 4
    assert info == {}


def test_a_perceptron_ends_in_a_linear_layer():
    kinds = [type(layer) for layer in perceptron(4, 3, 2, dropout=0.5)]
    assert kinds == [nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]
    assert [type(layer) for layer in perceptron(4, 3, dropout=0.5)] == [nn.Linear]


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: HierarchicalFeatureFusion(()), r"1 or more levels with channels, got \(\)"),
        (lambda: HierarchicalFeatureFusion((4, 0)), r"got \(4, 0\)"),
        (lambda: PyramidFeatureFusion(()), "pyramid fusion: expected 1 or more levels"),
        (lambda: PyramidFeatureFusion((4,), 0), "output_dim of at least 1, got 0"),
        (lambda: MultiLevelFusion((4,), (4,)), r"2 or more levels with channels, got \(4,\)"),
        (lambda: MultiLevelFusion((4, 4), (4, 4, 4)), "as many spatial as temporal levels, got 2 and 3"),
        (lambda: MultiLevelFusion((4, 4), (4, 4), fusion_dim=20), "width 20, heads 8"),
        (lambda: ConcatenationFusion(4, 4, 0), "output_dim of at least 1, got 0"),
        (lambda: perceptron(4, dropout=0.0), r"two widths or more, each at least 1, got \(4,\)"),
        (lambda: perceptron(4, 0, dropout=0.0), r"got \(4, 0\)"),
        (lambda: HierarchicalFeatureFusion((4, 6), 5)(vectors(4)), "expected 2 inputs, one per width, got 1"),
        (lambda: PyramidFeatureFusion((4,), 5)(vectors(4)), r"width 4 on 4 axes, got \(2, 4\)"),
        (lambda: PyramidFeatureFusion((4,), 5)(maps((3, 2, 2))), r"width 4 on 4 axes, got \(2, 3, 2, 2\)"),
        (
            lambda: MultiLevelFusion((4, 4), (4, 4), 8)(vectors(4, 4), vectors(4, 4, 4)),
            "expected 2 inputs, one per width, got 3",
        ),
    ],
)
def test_nonsense_is_refused_in_a_sentence(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()
