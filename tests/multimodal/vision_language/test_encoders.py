"""Photos and texts become vectors, with the published numbers of parameters."""

import pytest
import torch
from transformers import BertConfig, BertModel

from multimodal.encoders.backbone import EAGER
from multimodal.vision_language.build import build_vision_language
from multimodal.vision_language.presets import POOLINGS, VISION_LANGUAGE_PRESETS, Words
from multimodal.vision_language.text_encoder import TextEncoder, bert_of
from multimodal.vision_language.visual_encoder import VISUAL_TRUNKS, VisualEncoder

from .pairs import TINY, pairs

WORDS = Words("bert-tiny", 16, "pooler", vocabulary=64, width=16, layers=1, heads=2, inner=32)


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def text_encoder(pooling="mean"):
    torch.manual_seed(0)
    return TextEncoder(16, bert_of(WORDS), pooling).eval()


def test_a_resnet_50_has_the_published_parameters():
    encoder = VisualEncoder()
    assert parameters(encoder.backbone) == 23_508_032
    assert parameters(encoder.projection) == 1_049_088
    assert parameters(encoder) == 24_557_120


def test_a_bert_base_has_the_published_parameters():
    with torch.device("meta"):
        encoder = TextEncoder()
    assert parameters(encoder.backbone) == 109_482_240
    assert parameters(encoder) == 109_875_968


@pytest.mark.parametrize("name", VISUAL_TRUNKS)
def test_every_trunk_gives_one_vector_of_the_width_that_was_asked_for(name):
    trunk = VISUAL_TRUNKS[name]
    encoder = VisualEncoder(24, trunk.build(), normalise=trunk.normalise()).eval()
    side = encoder.backbone.native_px if name.startswith("vit") else 64
    with torch.no_grad():
        assert encoder(torch.rand(2, 3, side, side)).shape == (2, 24)


def test_a_grid_adds_places_to_means_and_maxima():
    torch.manual_seed(0)
    trunk = VISUAL_TRUNKS["efficientnet-lite0"]
    encoder = VisualEncoder(8, trunk.build(), 4, trunk.normalise()).eval()
    assert encoder.pooled_dim == 2 * (24 + 40 + 112 + 320) + 16 * 40 == 1632
    picture = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        pooled = encoder.pool(picture)
        placed = encoder.backbone.stages(encoder.normalise(picture)).maps[1]
    assert pooled.shape == (1, 1632)
    # 8 x 8 at stride 8: a cell is 2 x 2; channel by channel, row by row
    for place, (row, column) in {0: (0, 0), 1: (0, 2), 4: (2, 0), 15: (6, 6)}.items():
        cell = placed[0, 0, row : row + 2, column : column + 2].mean()
        torch.testing.assert_close(pooled[0, 992 + place], cell)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_padding_changes_nothing(pooling):
    encoder = text_encoder(pooling)
    _, ids, mask = pairs()
    other = torch.where(mask == 1, ids, 63)
    with torch.no_grad():
        whole, padded, cut = encoder(ids, mask), encoder(other, mask), encoder(ids[:1, :5], mask[:1, :5])
    torch.testing.assert_close(whole, padded, atol=1e-5, rtol=0)
    torch.testing.assert_close(whole[:1], cut, atol=1e-5, rtol=0)


def test_a_mean_is_that_of_the_tokens_that_are_no_padding():
    encoder = text_encoder("mean")
    _, ids, mask = pairs(1)
    with torch.no_grad():
        states = encoder.backbone(input_ids=ids, attention_mask=mask).last_hidden_state
        torch.testing.assert_close(encoder.pool(ids, mask), states[:, :5].mean(dim=1), atol=1e-6, rtol=0)


def test_a_float_mask_is_refused():
    _, ids, mask = pairs()
    with pytest.raises(TypeError, match=r"expected an int64 attention mask, got torch\.float32"):
        text_encoder()(ids, mask.float())


def test_a_pooler_that_is_not_there_is_refused():
    bare = BertModel(
        BertConfig(vocab_size=64, hidden_size=16, num_attention_heads=2, num_hidden_layers=1, **EAGER),
        add_pooling_layer=False,
    )
    with pytest.raises(ValueError, match="expected a BERT with a pooler, got one without"):
        TextEncoder(16, bare, "pooler")
    with pytest.raises(ValueError, match="did you mean 'mean'"):
        TextEncoder(16, bare, "meen")


def test_frozen_trunks_do_not_learn_and_stay_in_eval_mode():
    model = build_vision_language(TINY)
    model.visual.backbone.freeze()
    model.text.freeze_backbone()
    model.train()
    assert not model.visual.backbone.training and not model.text.backbone.training
    assert model.text.projection.training
    learning = {name.split(".")[1] for name, one in model.text.named_parameters("text") if one.requires_grad}
    assert learning == {"projection"}


def test_the_small_preset_reads_with_a_minilm_of_its_own_sizes():
    words = VISION_LANGUAGE_PRESETS["vision_language_small"].words
    assert parameters(bert_of(words)) == 22_565_376  # 22,713,216 with its pooler
