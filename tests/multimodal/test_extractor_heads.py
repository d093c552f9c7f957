"""What each extractor makes of its last map, in cases that can be checked by eye."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import ConvNextConfig, ConvNextModel, ResNetConfig, ResNetModel

from multimodal.encoders import BACKBONES, EXTRACTORS
from multimodal.encoders.convnext import ConvNeXtBackbone, ConvNeXtExtractor
from multimodal.encoders.efficientnet import EfficientNetBackbone, EfficientNetExtractor
from multimodal.encoders.feature_extractor import Stages
from multimodal.encoders.multi_resolution import MultiResolutionProcessor, resize
from multimodal.encoders.multi_scale import MultiScaleFeatureExtractor
from multimodal.encoders.resnet import ResNetBackbone
from multimodal.encoders.vit import ViTBackbone, ViTExtractor

from .fusion_inputs import parameters
from .pictures import pictures, small_extractor


def one_place(last: torch.Tensor) -> Stages:
    return Stages((), last, last.mean(dim=(2, 3)))


@pytest.mark.parametrize("name", ["efficientnet-tiny", "convnext_tiny_32"])
def test_the_vector_of_a_constant_map_is_the_token_of_each_of_its_places(name):
    extractor = small_extractor(name)
    value = torch.randn(2, extractor.feature_dim, 1, 1, generator=torch.Generator().manual_seed(0))
    stages = one_place(value.expand(-1, -1, 3, 3))
    vector, tokens = extractor.vector(stages), extractor.tokens(stages)
    assert tokens.shape == (2, 9, 16)
    torch.testing.assert_close(tokens, vector.unsqueeze(1).expand(-1, 9, -1), atol=1e-5, rtol=0)


def test_efficientnet_sees_the_mean_and_the_maximum_of_its_map():
    extractor = small_extractor("efficientnet-tiny")
    seen = []
    extractor.head[0].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    x = pictures(2)
    extractor(x)
    last = extractor.forward_map(x)
    assert torch.equal(seen[0], torch.cat([last.mean(dim=(2, 3)), last.amax(dim=(2, 3))], dim=1))


def test_efficientnet_excitation_costs_33_312_parameters_and_a_silent_one_halves():
    with torch.device("meta"):
        backbone = EfficientNetBackbone.from_name("efficientnet-tiny")
        with_it, without = EfficientNetExtractor(backbone), EfficientNetExtractor(backbone, use_se=False)
    assert parameters(with_it) - parameters(without) == 33_312
    extractor = small_extractor("efficientnet-tiny")
    x = pictures(2)
    for parameter in extractor.excitation[2].parameters():
        nn.init.zeros_(parameter)
    halved = extractor(x)
    extractor.excitation = None
    torch.testing.assert_close(halved, extractor(x) / 2)


def test_batch_norm_in_the_head_is_an_option_of_equal_size_that_one_picture_cannot_train():
    batch = EXTRACTORS["efficientnet-tiny"](out_dim=16, norm="batch")
    assert parameters(batch) == parameters(EXTRACTORS["efficientnet-tiny"](out_dim=16))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        batch(pictures(1))
    with pytest.raises(
        ValueError, match="efficientnet norm: expected one of layer, batch, got 'bach'; did you"
    ):
        EXTRACTORS["efficientnet-tiny"](norm="bach")


def test_fresh_efficientnets_neither_vanish_nor_explode():
    for name in ("efficientnet-tiny", "efficientnet-small", "efficientnet-b0"):
        torch.manual_seed(0)
        backbone = BACKBONES[name]().eval()
        with torch.no_grad():
            scales = [stage.std().item() for stage in backbone.extract_features(pictures(2))]
        assert all(0.01 < scale < 10 for scale in scales), (name, scales)


def test_running_statistics_of_batch_norms_remember_more_than_the_last_batch():
    backbone = BACKBONES["efficientnet-tiny"]()
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.1}


def test_efficientnet_padding_follows_its_config_at_odd_sizes():
    # b3's block 5 pads both sides, so an odd side rounds up there, down elsewhere.
    with torch.device("meta"):
        assert BACKBONES["efficientnet-b3"]().stage_sides(150) == (37, 19, 9, 5)
        assert BACKBONES["efficientnet-b0"]().stage_sides(150) == (37, 18, 9, 4)


def test_the_default_vit_can_be_built_and_its_pooling_heads_divide_its_vector():
    with torch.device("meta"):
        extractor = ViTExtractor()
    assert (extractor.out_dim, extractor.pooling.heads, extractor.queries.shape) == (512, 8, (1, 4, 512))
    with torch.device("meta"), pytest.raises(ValueError, match="multiple of heads, got width 512, heads 6"):
        ViTExtractor(pool_heads=6)


def test_vit_is_half_class_token_and_half_what_its_questions_find():
    extractor = small_extractor("vit_tiny_patch16_32")
    for part in (extractor.pooling.value, extractor.pooling.out):
        nn.init.zeros_(part.weight)
        nn.init.zeros_(part.bias)
    x = pictures(2)
    class_token = extractor.projection(extractor.backbone(x))
    torch.testing.assert_close(extractor(x), class_token / 2)


def test_vit_tokens_are_its_patches_without_the_class_token():
    extractor = small_extractor("vit_tiny_patch16_32")
    x = pictures(2, 3, 64, 48)
    hidden = extractor.backbone.model(x, interpolate_pos_encoding=True).last_hidden_state
    tokens = extractor.forward_tokens(x)
    assert tokens.shape == (2, 4 * 3, 16)
    torch.testing.assert_close(tokens, extractor.projection(hidden[:, 1:]), atol=1e-5, rtol=0)
    torch.testing.assert_close(extractor.backbone(x), hidden[:, 0], atol=1e-5, rtol=0)


def test_vit_reads_its_maps_at_four_depths():
    with torch.device("meta"):
        assert ViTBackbone.from_name().depths == (3, 6, 9, 12)
        assert ViTBackbone.from_name("vit_large_patch16_224").depths == (6, 12, 18, 24)
    backbone = BACKBONES["vit_tiny_patch16_32"]().eval()
    x = pictures(1)
    torch.testing.assert_close(backbone.extract_features(x)[2].shape, torch.Size([1, 32, 4, 4]))
    coarse = backbone.forward_map(x)
    halved = nn.functional.avg_pool2d(coarse, 2)
    torch.testing.assert_close(backbone.extract_features(x)[3], halved, atol=1e-5, rtol=0)


def test_convnext_attention_is_a_mean_whatever_the_size_of_the_map():
    extractor = small_extractor("convnext_tiny_32")
    nn.init.zeros_(extractor.attention[2].weight)  # equal weights everywhere: the attended mean is the mean
    last = torch.randn(2, 16, 4, 6, generator=torch.Generator().manual_seed(0))
    pooled = (2 * last.mean(dim=(2, 3)) + last.amax(dim=(2, 3))) / 3
    expected = extractor.head(pooled) * extractor.layer_scale
    torch.testing.assert_close(extractor.vector(one_place(last)), expected, atol=1e-5, rtol=0)
    tiled = last.repeat(1, 1, 3, 3)
    torch.testing.assert_close(extractor.vector(one_place(tiled)), expected, atol=1e-5, rtol=0)


def test_convnext_maps_are_its_stages_each_through_its_own_convolution():
    extractor = small_extractor("convnext_tiny_32")
    x = pictures(2, 6)
    raw, maps = extractor.backbone.extract_features(x), extractor.forward_features(x)
    assert extractor.map_dims == (4, 4, 8, 16)
    for projection, stage, made in zip(extractor.stage_projections, raw, maps, strict=True):
        torch.testing.assert_close(made, projection(stage))
    with torch.device("meta"):
        published = EXTRACTORS["convnext_base"]()
    assert published.map_dims == (128, 128, 256, 512)
    assert parameters(published.stage_projections) == 705_536


def test_convnext_starts_at_full_scale():
    extractor = small_extractor("convnext_tiny_32")
    assert (extractor.layer_scale == 1).all()
    scales = [value for name, value in extractor.named_parameters() if name.endswith("layer_scale_parameter")]
    assert len(scales) == 4
    assert all((value == 1).all() for value in scales)
    assert extractor(pictures(2, 6)).abs().mean() > 0.1


def test_backbones_agree_with_transformers():
    torch.manual_seed(0)
    x = pictures(2)
    resnet = ResNetModel(
        ResNetConfig(hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 1, 1], embedding_size=8)
    ).eval()
    expected = resnet(x, output_hidden_states=True)
    backbone = ResNetBackbone(resnet)
    for made, stage in zip(backbone.extract_features(x), expected.hidden_states[1:], strict=True):
        assert torch.equal(made, stage)
    torch.testing.assert_close(backbone(x), expected.pooler_output.flatten(1))
    convnext = ConvNextModel(ConvNextConfig(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1])).eval()
    torch.testing.assert_close(ConvNeXtBackbone(convnext)(x), convnext(x).pooler_output)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("efficientnet", "efficientnet-tiny"), ("vit", "vit_tiny_patch16_32"), ("convnext", "convnext_tiny_32")],
)
def test_multi_scale_joins_the_vectors_of_its_scales(kind, name):
    extractor = MultiScaleFeatureExtractor(kind, (32, 48), 16, extractor_kwargs={"name": name}).eval()
    x = pictures(2, 3, 40, 56)
    vectors = [part(resize(x, size_px)) for part, size_px in zip(extractor.extractors, (32, 48), strict=True)]
    assert torch.equal(extractor(x), extractor.projection(torch.cat(vectors, dim=1)))
    assert torch.equal(extractor.forward_map(x), extractor.extractors[1].forward_map(resize(x, 48)))


def test_shared_weights_are_one_extractor():
    options = {"extractor_kwargs": {"name": "convnext_tiny_32"}}
    shared = MultiScaleFeatureExtractor("convnext", (32, 64), 16, share_weights=True, **options)
    apart = MultiScaleFeatureExtractor("convnext", (32, 64), 16, **options)
    assert (len(shared.extractors), len(apart.extractors)) == (1, 2)


def test_misspelt_names_are_refused_when_built_and_corrected():
    with pytest.raises(
        ValueError, match="expected one of efficientnet, vit, convnext, got 'convnxt'; did you mean"
    ):
        MultiScaleFeatureExtractor("convnxt")
    with pytest.raises(ValueError, match="got 'efficientnet-b5'; did you mean 'efficientnet-b"):
        EfficientNetExtractor.from_name("efficientnet-b5")
    with pytest.raises(ValueError, match="did you mean 'vit_base_patch16_224'"):
        ViTExtractor.from_name("vit_base_patch16")
    with pytest.raises(ValueError, match="did you mean 'convnext_base'"):
        ConvNeXtExtractor.from_name("convnext_bas")
    with pytest.raises(
        ValueError, match="expected one of resnet-50, got 'resnet50'; did you mean 'resnet-50'"
    ):
        ResNetBackbone.from_name("resnet50")


@pytest.mark.parametrize("sizes", [(), (31, 64)])
def test_scales_without_a_size_or_under_32_px_are_refused(sizes):
    with pytest.raises(ValueError, match="expected at least one size of 32 px or more, got"):
        MultiScaleFeatureExtractor("vit", sizes)
    with pytest.raises(ValueError, match="resolutions: expected at least one size"):
        MultiResolutionProcessor(BACKBONES["vit_tiny_patch16_32"](), sizes)


def test_multi_resolution_puts_vectors_of_one_backbone_side_by_side():
    backbone = BACKBONES["vit_tiny_patch16_32"]().eval()
    together = MultiResolutionProcessor(backbone, (32, 48, 64)).eval()
    x = pictures(2, 3, 48, 48)
    assert together.out_dim == 96
    assert parameters(together) == parameters(backbone)
    assert torch.equal(together(x)[:, 32:64], backbone(x))  # at 48 px nothing is resized
    projected = MultiResolutionProcessor(backbone, (32, 48, 64), out_dim=10)
    assert projected(x).shape == (2, 10)
    assert parameters(projected) - parameters(backbone) == 96 * 10 + 10


def test_multi_resolution_takes_extractors_at_their_own_width():
    assert MultiResolutionProcessor(small_extractor("convnext_tiny_32"), (32, 64)).out_dim == 32


def test_shrinking_averages_where_picking_would_alias():
    stripes = torch.tensor([0.0, 1.0]).repeat(32).expand(1, 3, 64, 64)
    inside = resize(stripes, 32)[..., 4:-4]
    torch.testing.assert_close(inside, torch.full_like(inside, 0.5), atol=0.01, rtol=0)
    assert resize(stripes, 64) is stripes
    assert resize(stripes, 96).shape == (1, 3, 96, 96)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (EfficientNetExtractor, "efficientnet-tiny"),
        (ConvNeXtExtractor, "convnext_tiny_32"),
        (ViTExtractor, "vit_tiny_patch16_32"),
    ],
)
def test_weights_that_cannot_be_found_say_what_to_do(kind, name, tmp_path):
    with pytest.raises(OSError, match="download it once and pass the folder"):
        kind.from_pretrained(tmp_path / name)


def test_published_weights_come_from_a_folder(tmp_path):
    torch.manual_seed(0)
    saved = ConvNextModel(ConvNextConfig(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1])).eval()
    saved.save_pretrained(tmp_path)
    extractor = ConvNeXtExtractor.from_pretrained(tmp_path, out_dim=16).eval()
    x = pictures(2)
    torch.testing.assert_close(extractor.backbone(x), saved(x).pooler_output)
