"""Image encoder: one token per photo, any number of photos."""

from __future__ import annotations

import pytest
import torch
from transformers import Dinov2Config, Dinov2Model

from multimodal.encoders import WeldImageEncoder
from multimodal.presets import PRESETS

from .fusion_inputs import parameters

TINY = PRESETS["tiny"].image


def backbone(table_px: int = 28) -> Dinov2Model:
    config = Dinov2Config(
        image_size=table_px,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        attn_implementation="eager",
    )
    torch.manual_seed(0)
    return Dinov2Model(config).eval()


def test_the_published_encoder_has_86_580_480_parameters():
    with torch.device("meta"):
        assert parameters(WeldImageEncoder.from_preset(PRESETS["weld_base"].image)) == 86_580_480


@pytest.mark.parametrize("photos", [1, 3, 5])
def test_every_photo_gives_one_token_and_does_not_see_the_others(photos):
    encoder = WeldImageEncoder.from_preset(TINY).eval()
    pictures = torch.rand(2, photos, 3, 28, 28)
    tokens = encoder(pictures)
    assert tokens.shape == (2, photos, 32)
    torch.testing.assert_close(tokens[:, :1], encoder(pictures[:, :1]), atol=1e-5, rtol=0)


def test_the_token_is_the_class_token_or_the_mean_of_patches():
    pictures = torch.rand(1, 2, 3, 28, 28)
    by_class, by_patches = WeldImageEncoder(backbone()), WeldImageEncoder(backbone(), pooling="patch_mean")
    hidden = by_class.backbone(by_class.normalise(pictures[0])).last_hidden_state
    torch.testing.assert_close(by_class(pictures)[0], hidden[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(by_patches(pictures)[0], hidden[:, 1:].mean(dim=1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("aggregation", "tokens"), [("mean", 5), ("max", 5), ("concat", 25)])
def test_other_aggregations_keep_patches(aggregation, tokens):
    encoder = WeldImageEncoder(backbone(), aggregation=aggregation)
    assert encoder(torch.rand(2, 5, 3, 28, 28)).shape == (2, tokens, 32)


def test_a_position_table_of_another_size_is_interpolated():
    assert WeldImageEncoder(backbone(table_px=70))(torch.rand(1, 5, 3, 28, 28)).shape == (1, 5, 32)


def test_weights_come_back_from_a_local_folder(tmp_path):
    backbone().save_pretrained(tmp_path)
    pictures = torch.rand(1, 5, 3, 28, 28)
    loaded = WeldImageEncoder.from_pretrained(tmp_path, embed_dim=None)
    torch.testing.assert_close(loaded(pictures), WeldImageEncoder(backbone())(pictures))


def test_unknown_options_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="aggregation: expected one of tokens_per_angle, mean, max, concat"):
        WeldImageEncoder(backbone(), aggregation="median")
    with pytest.raises(ValueError, match="pooling: expected one of cls, patch_mean, got 'gem'"):
        WeldImageEncoder(backbone(), pooling="gem")
