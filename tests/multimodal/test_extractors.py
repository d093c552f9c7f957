"""What every entry of the tables of extractors and backbones promises."""

from __future__ import annotations

import pytest
import torch

from multimodal.encoders import BACKBONES, EXTRACTORS

from .fusion_inputs import parameters
from .pictures import SMALL_EXTRACTORS, pictures, small_extractor

# Published sizes: parameters of the extractor with a vector of 512, and of its backbone alone.
SIZES = {
    "efficientnet-b0": (8_469_276, 4_007_548),
    "efficientnet-b3": (17_026_376, 10_696_232),
    "efficientnet-b4": (26_074_856, 17_548_616),
    "efficientnet-b7": (80_867_568, 63_786_960),
    "vit_tiny_patch16_224": (6_646_688, 5_524_416),
    "vit_small_patch16_224": (22_892_864, 21_665_664),
    "vit_base_patch16_224": (87_346_304, 85_798_656),
    "vit_large_patch16_224": (305_144_832, 303_301_632),
    "convnext_tiny": (28_918_945, 27_820_128),
    "convnext_small": (50_553_505, 49_454_688),
    "convnext_base": (89_194_369, 87_566_464),
    "convnext_large": (199_162_177, 196_230_336),
}
MULTI_SCALE_SIZES = {
    "multi_scale_efficientnet": (51_866_072, 17_813_320),
    "multi_scale_vit": (262_825_856, 88_133_248),
    "multi_scale_convnext": (268_370_051, 89_981_313),
}
STAGE_DIMS = {
    "resnet-50": (256, 512, 1024, 2048),
    "efficientnet-b0": (24, 40, 112, 320),
    "efficientnet-b3": (32, 48, 136, 384),
    "efficientnet-b4": (32, 56, 160, 448),
    "vit_base_patch16_224": (768, 768, 768, 768),
    "convnext_tiny": (96, 192, 384, 768),
    "convnext_base": (128, 256, 512, 1024),
    "convnext_large": (192, 384, 768, 1536),
}
FEATURE_DIMS = {
    "resnet-50": 2048,
    "efficientnet-b4": 1792,
    "vit_base_patch16_224": 768,
    "convnext_base": 1024,
}


@pytest.fixture(params=SMALL_EXTRACTORS)
def extractor(request):
    return small_extractor(request.param)


def weighted_sum(*outputs: torch.Tensor) -> torch.Tensor:
    """A scalar of every output; random weights, for the plain sum of a LayerNorm's output has no gradient."""
    numbers = torch.Generator().manual_seed(7)
    return sum((output * torch.randn(output.shape, generator=numbers)).sum() for output in outputs)


@pytest.mark.parametrize("name", SIZES)
def test_published_extractors_and_backbones_have_their_parameters(name):
    with torch.device("meta"):
        assert (parameters(EXTRACTORS[name]()), parameters(BACKBONES[name]())) == SIZES[name]


@pytest.mark.parametrize("name", MULTI_SCALE_SIZES)
def test_three_scales_cost_three_extractors_or_one_shared(name):
    with torch.device("meta"):
        counts = parameters(EXTRACTORS[name]()), parameters(EXTRACTORS[name](share_weights=True))
    assert counts == MULTI_SCALE_SIZES[name]


def test_resnet_50_and_the_pyramid_trunk_have_their_parameters():
    with torch.device("meta"):
        assert parameters(BACKBONES["resnet-50"]()) == 23_508_032
        assert parameters(BACKBONES["efficientnet-b4"](top=False)) == 17_548_616 - 806_400


@pytest.mark.parametrize(
    ("name", "out_dim", "in_channels", "limit"),
    [
        ("efficientnet-small", 64, 3, 800_000),
        ("convnext_small_64", 64, 6, 800_000),
        ("efficientnet-tiny", 16, 3, 10_000),
        ("convnext_tiny_32", 16, 6, 12_000),
    ],
)
def test_small_presets_stay_small(name, out_dim, in_channels, limit):
    with torch.device("meta"):
        assert parameters(EXTRACTORS[name](out_dim=out_dim, in_channels=in_channels)) <= limit


def test_every_extractor_except_multi_scale_has_its_backbone_in_the_other_table():
    single = {name for name in EXTRACTORS if not name.startswith("multi_scale")}
    assert set(BACKBONES) == single | {"resnet-50"}


@pytest.mark.parametrize("name", STAGE_DIMS)
def test_stages_of_published_backbones_have_their_channels_and_strides(name):
    with torch.device("meta"):
        backbone = BACKBONES[name]().eval()
        size_px = 224
        maps = backbone.extract_features(torch.empty(1, 3, size_px, size_px))
    assert backbone.stage_dims == STAGE_DIMS[name]
    sides = backbone.stage_sides(size_px)
    assert sides == (56, 28, 14, 7)
    assert [tuple(stage.shape) for stage in maps] == [
        (1, width, side, side) for width, side in zip(STAGE_DIMS[name], sides, strict=True)
    ]


@pytest.mark.parametrize("name", FEATURE_DIMS)
def test_a_backbone_alone_gives_a_vector_and_its_last_map(name):
    width = FEATURE_DIMS[name]
    with torch.device("meta"):
        backbone, x = BACKBONES[name]().eval(), torch.empty(2, 3, 64, 64)
        side = 4 if name.startswith("vit") else 2
        assert backbone(x).shape == (2, width)
        assert backbone.forward_map(x).shape == (2, width, side, side)


def test_a_pyramid_trunk_has_no_layer_that_its_maps_do_not_need():
    trunk = BACKBONES["efficientnet-tiny"](top=False)
    weighted_sum(*trunk.extract_features(pictures(2))).backward()
    assert all(parameter.grad is not None for parameter in trunk.parameters())
    assert trunk.feature_dim == trunk.stage_dims[-1]


@pytest.mark.parametrize("batch", [1, 3])
def test_one_pass_gives_what_every_other_method_gives(extractor, batch):
    x = pictures(batch, extractor.in_channels)
    vector, maps = extractor.extract(x)
    assert vector.shape == (batch, extractor.out_dim)
    assert torch.equal(extractor(x), vector)
    assert all(
        torch.equal(one, other) for one, other in zip(extractor.forward_features(x), maps, strict=True)
    )
    assert extractor.forward_map(x).shape[:2] == (batch, extractor.feature_dim)
    tokens = extractor.forward_tokens(x)
    assert tokens.shape[::2] == (batch, extractor.out_dim)
    assert tokens.shape[1] >= extractor.forward_map(x)[0, 0].numel()


@pytest.mark.parametrize("size_px", [32, 37, 63, 64, 96])
def test_maps_have_the_announced_shapes_also_at_odd_sizes(extractor, size_px):
    maps = extractor.forward_features(pictures(1, extractor.in_channels, size_px, size_px))
    assert tuple(tuple(stage.shape[1:]) for stage in maps) == extractor.map_shapes(size_px)
    assert extractor.map_dims == tuple(stage.shape[1] for stage in maps)


@pytest.mark.parametrize("name", ["efficientnet-b0", "efficientnet-b3", "convnext_tiny", "resnet-50"])
@pytest.mark.parametrize("size_px", [33, 101, 150, 223])
def test_announced_sides_are_right_for_published_backbones_too(name, size_px):
    with torch.device("meta"):
        backbone = BACKBONES[name]().eval()
        maps = backbone.extract_features(torch.empty(1, 3, size_px, size_px))
    assert tuple(stage.shape[-1] for stage in maps) == backbone.stage_sides(size_px)


def test_pictures_need_not_be_square(extractor):
    vector, maps = extractor.extract(pictures(2, extractor.in_channels, 50, 83))
    assert vector.shape == (2, extractor.out_dim)
    assert all(torch.isfinite(stage).all() for stage in maps)


def test_small_pictures_of_64_px_leave_real_maps():
    for name in ("efficientnet-small", "convnext_small_64"):
        sides = [shape[-1] for shape in small_extractor(name).map_shapes(64)]
        assert sides == [16, 8, 4, 2]


def test_every_map_comes_from_deeper_in_the_backbone_than_the_one_before(extractor):
    reached = []
    for stage in range(4):
        extractor.zero_grad()
        weighted_sum(extractor.forward_features(pictures(1, extractor.in_channels))[stage]).backward()
        weights = extractor.reference_backbone().parameters()
        reached.append(sum(weight.grad is not None for weight in weights))
    assert reached == sorted(set(reached))


def test_eval_is_bit_identical_from_call_to_call(extractor):
    x = pictures(2, extractor.in_channels)
    (first, maps), (second, again) = extractor.extract(x), extractor.extract(x)
    assert torch.equal(first, second)
    assert all(torch.equal(one, other) for one, other in zip(maps, again, strict=True))


@pytest.mark.parametrize("name", SMALL_EXTRACTORS)
def test_a_state_dict_round_trip_reproduces_the_output_bit_for_bit(name):
    extractor, twin = small_extractor(name), small_extractor(name, seed=1)
    x = pictures(2, extractor.in_channels)
    assert not torch.equal(extractor(x), twin(x))
    twin.load_state_dict(extractor.state_dict())
    assert torch.equal(extractor(x), twin(x))


def test_pictures_of_a_batch_do_not_see_each_other(extractor):
    x = pictures(3, extractor.in_channels)
    vector, maps = extractor.extract(x)
    for row in range(3):
        alone, own = extractor.extract(x[row : row + 1])
        torch.testing.assert_close(alone[0], vector[row], atol=1e-5, rtol=0)
        for one, other in zip(own, maps, strict=True):
            torch.testing.assert_close(one[0], other[row], atol=1e-5, rtol=1e-5)


def test_fresh_weights_tell_pictures_apart(extractor):
    assert extractor(pictures(8, extractor.in_channels)).std(dim=0).mean() > 0.01


def test_one_picture_can_be_trained_and_every_parameter_learns(extractor):
    extractor.train()
    vector, maps = extractor.extract(pictures(1, extractor.in_channels, 96, 96))
    weighted_sum(vector, *maps).backward()
    silent = {
        name for name, parameter in extractor.named_parameters() if parameter.grad is None
    }  # nothing may be left out of the graph
    assert not silent
    assert all(torch.isfinite(parameter.grad).all() for parameter in extractor.parameters())


def test_no_gradient_is_zero_but_that_of_key_biases(extractor):
    vector, maps = extractor.extract(pictures(4, extractor.in_channels, 96, 96))
    weighted_sum(vector, *maps).backward()
    zero = {name for name, parameter in extractor.named_parameters() if not parameter.grad.any()}
    assert all(name.endswith(("key.bias", "k_proj.bias")) for name in zero)


def test_bfloat16_gives_no_nan(extractor):
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        vector, maps = extractor.extract(pictures(2, extractor.in_channels))
    assert all(torch.isfinite(output).all() for output in (vector, *maps))


def test_the_description_counts_what_is_there(extractor):
    info = extractor.get_model_info()
    assert info["params"] == parameters(extractor) == info["trainable_params"]
    assert (info["output"], info["backbone_dim"]) == (extractor.out_dim, extractor.feature_dim)
    assert info["map_dims"] == extractor.map_dims


def test_frozen_backbones_neither_learn_nor_leave_eval_mode():
    extractor = small_extractor("efficientnet-tiny")
    extractor.backbone.freeze()
    extractor.train()
    before = {name: value.clone() for name, value in extractor.backbone.state_dict().items()}
    extractor(pictures(2)).square().sum().backward()
    assert all(parameter.grad is None for parameter in extractor.backbone.parameters())
    assert all(parameter.grad is not None for parameter in extractor.head.parameters())
    after = extractor.backbone.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert extractor.get_model_info()["trainable_params"] < extractor.get_model_info()["params"]


def test_wrong_pictures_are_refused_in_one_sentence():
    extractor = small_extractor("convnext_tiny_32")
    with pytest.raises(ValueError, match=r"expected \(batch, 6, height, width\).*got \(1, 3, 32, 32\)"):
        extractor(pictures(1, 3, 32, 32))
    with pytest.raises(ValueError, match=r"at least 32 px, got \(1, 6, 32, 31\)"):
        extractor(pictures(1, 6, 32, 31))
    with pytest.raises(ValueError, match="expected out_dim to be a multiple of 4, got 6"):
        EXTRACTORS["convnext_tiny_32"](out_dim=6)
