"""Pyramids, spatial attention and pools: sizes and cases that can be checked by eye."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from multimodal.encoders import BACKBONES
from multimodal.feature_maps import (
    POOLS,
    AdaptivePooling,
    AttentionPooling,
    FeaturePyramidNetwork,
    SpatialAttention,
)

from .fusion_inputs import parameters
from .pictures import pictures

DIMS = (4, 8, 8, 16)
SIDES = (25, 13, 7, 4)  # odd sides: none is twice the next


def stage_maps(batch: int = 2, dims: tuple[int, ...] = DIMS, seed: int = 0) -> list[torch.Tensor]:
    numbers = torch.Generator().manual_seed(seed)
    pairs = zip(dims, SIDES, strict=True)
    return [torch.randn(batch, width, side, side + 1, generator=numbers) for width, side in pairs]


def fresh(module: type[nn.Module], *sizes: object) -> nn.Module:
    torch.manual_seed(0)
    return module(*sizes)


def silence(*layers: nn.Module) -> None:
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)


@pytest.mark.parametrize(
    ("module", "sizes", "count"),
    [
        (FeaturePyramidNetwork, {}, 984_064),
        (FeaturePyramidNetwork, {"smooth": True}, 3_344_384),
        (FeaturePyramidNetwork, {"in_channels": (32, 56, 160, 448)}, 179_200),
        (SpatialAttention, {"in_channels": 2048}, 524_801),
        (SpatialAttention, {"in_channels": 1792}, 401_857),
        (SpatialAttention, {"in_channels": 256}, 8_257),
        (AdaptivePooling, {"channels": 2048}, 8_394_754),
        (AdaptivePooling, {"channels": 1792}, 6_427_906),
        (AttentionPooling, {"channels": 2048}, 2_049),
        (AttentionPooling, {"channels": 1792}, 1_793),
        (AttentionPooling, {"channels": 256}, 257),
    ],
)
def test_published_sizes_have_their_parameters(module, sizes, count):
    with torch.device("meta"):
        assert parameters(module(**sizes)) == count


@pytest.mark.parametrize("smooth", [False, True])
def test_a_pyramid_keeps_every_size_also_odd_ones(smooth):
    pyramid = fresh(FeaturePyramidNetwork, DIMS, 6, smooth)
    shapes = [tuple(level.shape) for level in pyramid(stage_maps())]
    assert shapes == [(2, 6, side, side + 1) for side in SIDES]


def test_in_a_pyramid_of_channel_means_every_level_adds_the_coarser_ones():
    pyramid = FeaturePyramidNetwork(DIMS, 1)
    for lateral, width in zip(pyramid.lateral, DIMS, strict=True):
        nn.init.constant_(lateral.weight, 1 / width)
        nn.init.zeros_(lateral.bias)
    constants = (1.0, 10.0, 100.0, 1000.0)
    maps = [torch.full_like(level, value) for level, value in zip(stage_maps(), constants, strict=True)]
    for level, expected in zip(pyramid(maps), (1111.0, 1110.0, 1100.0, 1000.0), strict=True):
        torch.testing.assert_close(level, torch.full_like(level, expected))


def test_the_coarsest_level_is_its_lateral_convolution_alone():
    pyramid = fresh(FeaturePyramidNetwork, DIMS, 6)
    maps = stage_maps()
    assert torch.equal(pyramid(maps)[-1], pyramid.lateral[-1](maps[-1]))


def test_a_coarse_value_reaches_the_place_it_stands_for():
    pyramid = FeaturePyramidNetwork((1, 1), 1)
    for lateral in pyramid.lateral:
        nn.init.ones_(lateral.weight)
        nn.init.zeros_(lateral.bias)
    fine, _ = pyramid([torch.zeros(1, 1, 4, 4), torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])])
    assert fine[0, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]


@pytest.mark.parametrize("name", ["efficientnet-tiny", "convnext_tiny_32", "vit_tiny_patch16_32"])
def test_every_kind_of_backbone_can_stand_under_a_pyramid(name):
    backbone = BACKBONES[name]().eval()
    pyramid = FeaturePyramidNetwork(backbone.stage_dims, 8)
    levels = pyramid(backbone.extract_features(pictures(1, 3, 75, 75)))
    assert [level.shape[1] for level in levels] == [8, 8, 8, 8]


def test_a_pyramid_refuses_another_number_of_maps():
    with pytest.raises(ValueError, match="expected 4 maps, got 3"):
        FeaturePyramidNetwork(DIMS, 6)(stage_maps()[:3])
    with pytest.raises(ValueError, match="at least one map, got none"):
        FeaturePyramidNetwork((), 6)


def test_spatial_attention_of_a_silent_last_layer_halves_the_map():
    attention = fresh(SpatialAttention, 16)
    silence(attention.weigh[2])
    x = stage_maps()[3]
    weighted, weights = attention(x)
    assert weights.shape == (2, 1, 4, 5)
    assert torch.equal(weights, torch.full_like(weights, 0.5))
    assert torch.equal(weighted, x / 2)


def test_spatial_attention_works_with_fewer_channels_than_its_reduction():
    x = stage_maps()[0]
    weighted, weights = fresh(SpatialAttention, 4)(x)
    assert weighted.shape == x.shape
    assert ((weights > 0) & (weights < 1)).all()


def test_adaptive_pooling_of_a_silent_last_layer_is_halfway_between_mean_and_maximum():
    pool = fresh(AdaptivePooling, 8)
    silence(pool.decide[2])
    x = stage_maps()[1]
    torch.testing.assert_close(pool(x), (x.mean(dim=(2, 3)) + x.amax(dim=(2, 3))) / 2, atol=1e-6, rtol=0)


def test_shares_of_adaptive_pooling_sum_to_one():
    pool = fresh(AdaptivePooling, 8)
    x = stage_maps()[1]
    shares = pool.shares(x.mean(dim=(2, 3)), x.amax(dim=(2, 3)))
    assert (shares >= 0).all()
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(2), atol=1e-6, rtol=0)


def test_attention_pooling_of_a_silent_convolution_is_the_mean():
    pool = fresh(AttentionPooling, 8)
    silence(pool.score)
    x = stage_maps()[1]
    torch.testing.assert_close(pool(x), x.mean(dim=(2, 3)), atol=1e-6, rtol=0)


def test_attention_pooling_can_pick_a_single_place():
    pool = AttentionPooling(1)
    nn.init.constant_(pool.score.weight, 100.0)
    x = torch.tensor([[[[0.0, 1.0], [5.0, 2.0]]]])
    assert pool(x).item() == pytest.approx(5.0)
    assert pool.weights(x)[0, 0].tolist() == [[0, 0], [1, 0]]


def test_weights_of_attention_pooling_sum_to_one_over_places():
    weights = fresh(AttentionPooling, 8).weights(stage_maps()[1])
    assert weights.shape == (2, 1, 13, 14)
    torch.testing.assert_close(weights.sum(dim=(2, 3)), torch.ones(2, 1), atol=1e-6, rtol=0)


@pytest.fixture(params=POOLS)
def pool(request):
    return fresh(POOLS[request.param], 8)


@pytest.mark.parametrize("batch", [1, 3])
def test_every_pool_gives_one_value_a_channel(pool, batch):
    x = stage_maps(batch)[1]
    pooled = pool(x)
    assert pooled.shape == (batch, 8)
    assert (pooled >= x.amin(dim=(2, 3)) - 1e-6).all()
    assert (pooled <= x.amax(dim=(2, 3)) + 1e-6).all()


def test_no_pool_cares_where_things_are(pool):
    x = stage_maps()[1]
    torch.testing.assert_close(pool(x.flip(2).transpose(2, 3)), pool(x), atol=1e-6, rtol=0)


def test_a_constant_map_is_pooled_to_its_constant(pool):
    x = torch.arange(8.0).view(1, 8, 1, 1).expand(2, 8, 3, 5)
    torch.testing.assert_close(pool(x), torch.arange(8.0).expand(2, 8), atol=1e-6, rtol=0)


def test_pools_are_deterministic_and_batch_rows_independent(pool):
    x = stage_maps(3)[1]
    assert torch.equal(pool(x), pool(x))
    alone = torch.cat([pool(x[row : row + 1]) for row in range(3)])
    torch.testing.assert_close(pool(x), alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", POOLS)
def test_a_state_dict_round_trip_keeps_a_pool(name):
    pool, twin = fresh(POOLS[name], 8), POOLS[name](8)
    twin.load_state_dict(pool.state_dict())
    x = stage_maps()[1]
    assert torch.equal(pool(x), twin(x))


def test_gradients_reach_every_parameter_of_the_chain_from_maps_to_vector(pool):
    pyramid, attention = fresh(FeaturePyramidNetwork, DIMS, 8, True), fresh(SpatialAttention, 8)
    levels = pyramid(stage_maps())
    vectors = [pool(attention(level)[0]) for level in levels]
    numbers = torch.Generator().manual_seed(1)
    sum((vector * torch.randn(vector.shape, generator=numbers)).sum() for vector in vectors).backward()
    learnt = nn.ModuleList([pyramid, attention, pool])
    idle = {name for name, parameter in learnt.named_parameters() if not parameter.grad.any()}
    assert idle <= {"2.score.bias"}  # a softmax over places does not see what is added to all of them
