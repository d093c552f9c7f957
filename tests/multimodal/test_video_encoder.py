"""Video encoder: token contract, rotary tables, sizes that would scramble positions."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from transformers import VJEPA2Config, VJEPA2Model

from multimodal.encoders import WeldVideoEncoder
from multimodal.encoders.rope import TableRopeAttention, use_rotary_tables
from multimodal.presets import PRESETS, Transformer

from .fusion_inputs import parameters

TINY = PRESETS["tiny"].video


def backbone(heads: int = 2, frames: int = 4, width: int = 32) -> VJEPA2Model:
    config = VJEPA2Config(
        crop_size=48,
        frames_per_clip=frames,
        hidden_size=width,
        num_attention_heads=heads,
        num_hidden_layers=2,
        pred_num_hidden_layers=1,
        pred_hidden_size=24,
        attn_implementation="eager",
    )
    torch.manual_seed(0)
    return VJEPA2Model(config).eval()


def sharpen(model: VJEPA2Model, factor: float) -> None:
    """Make attention peaky: with fresh weights it is uniform and hides every error in the positions."""
    with torch.no_grad():
        for layer in model.encoder.layer:
            layer.attention.query.weight.mul_(factor)
            layer.attention.key.weight.mul_(factor)


def encode(model: VJEPA2Model, frames: int = 4) -> torch.Tensor:
    clip = torch.randn(2, frames, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return model.encoder(pixel_values_videos=clip).last_hidden_state


@pytest.mark.parametrize(("heads", "width"), [(2, 32), (4, 48), (1, 20)])
@pytest.mark.parametrize("factor", [1.0, 20.0])
def test_rotary_tables_equal_the_original_bit_for_bit(heads, width, factor):
    model = backbone(heads, width=width)
    sharpen(model, factor)
    expected = encode(model)
    use_rotary_tables(model)
    assert all(isinstance(layer.attention, TableRopeAttention) for layer in model.encoder.layer)
    assert torch.equal(encode(model), expected)


def test_the_comparison_would_notice_a_wrong_sign():
    model = backbone()
    sharpen(model, 20.0)
    expected = encode(model)
    use_rotary_tables(model)
    model.encoder.layer[0].attention.tables.sine.neg_()
    assert (encode(model) - expected).abs().max() > 1e-2


def test_tables_serve_shorter_clips_and_refuse_longer_ones():
    model = backbone(frames=8)
    sharpen(model, 20.0)
    expected = encode(model, frames=4)
    use_rotary_tables(model)
    assert torch.equal(encode(model, frames=4), expected)
    with pytest.raises(ValueError, match="at most 36 tokens, got 45"):
        encode(model, frames=10)


def test_tables_leave_names_and_values_of_the_weights_alone():
    model = backbone()
    before = copy.deepcopy(model.state_dict())
    use_rotary_tables(model)
    after = model.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_position_masks_are_refused_where_tables_cannot_follow():
    model = backbone()
    use_rotary_tables(model)
    with pytest.raises(ValueError, match="expected whole clips"):
        model.encoder.layer[0].attention.get_position_ids(torch.zeros(1, 2, 32), torch.zeros(1, 2))


def test_the_published_encoder_has_303_885_312_parameters_and_no_predictor():
    with torch.device("meta"):
        encoder = WeldVideoEncoder.from_preset(PRESETS["weld_base"].video)
    assert parameters(encoder) == 303_885_312
    assert not hasattr(encoder.backbone, "predictor")


@pytest.mark.parametrize(("frames", "slices"), [(4, 2), (16, 8), (32, 16)])
def test_any_number_of_frames_gives_eight_tokens(frames, slices):
    encoder = WeldVideoEncoder.from_preset(replace(TINY, frames=frames)).eval()
    tokens = encoder(torch.rand(2, frames, 3, 32, 32))
    assert tokens.shape == (2, 8, 32)
    assert slices == frames // TINY.tubelet_frames


def test_tokens_keep_the_order_of_time():
    encoder = WeldVideoEncoder(backbone(frames=16), freeze_backbone=False)
    clip = torch.rand(1, 16, 3, 48, 48)
    hidden = encoder.backbone.encoder(pixel_values_videos=encoder.normalise(clip)).last_hidden_state
    torch.testing.assert_close(encoder(clip)[0, 3], hidden[0, 27:36].mean(dim=0), atol=1e-5, rtol=0)


def test_grey_frames_are_three_equal_channels():
    encoder = WeldVideoEncoder.from_preset(TINY).eval()
    grey = torch.rand(1, 4, 1, 32, 32)
    assert torch.equal(encoder(grey), encoder(grey.repeat(1, 1, 3, 1, 1)))


def test_frames_of_another_size_are_refused_because_positions_would_be_wrong():
    encoder = WeldVideoEncoder.from_preset(TINY)
    with pytest.raises(ValueError, match="expected frames of 32x32 px, got 16x32"):
        encoder(torch.rand(1, 4, 3, 16, 32))


def test_frames_are_normalised_exactly_once():
    encoder = WeldVideoEncoder.from_preset(TINY)
    grey = encoder.normalise(torch.full((1, 1, 3, 2, 2), 0.5))[0, 0, :, 0, 0]
    torch.testing.assert_close(grey, torch.tensor([0.015 / 0.229, 0.044 / 0.224, 0.094 / 0.225]))


def test_another_token_width_adds_a_projection():
    encoder = WeldVideoEncoder(backbone(), embed_dim=10)
    assert encoder(torch.rand(1, 4, 3, 48, 48)).shape == (1, 8, 10)
    assert isinstance(WeldVideoEncoder(backbone(), embed_dim=32).projection, torch.nn.Identity)


def test_weights_come_back_from_a_local_folder(tmp_path):
    saved = backbone()
    saved.save_pretrained(tmp_path)
    encoder = WeldVideoEncoder.from_pretrained(tmp_path).eval()
    clip = torch.rand(1, 4, 3, 48, 48)
    twin = WeldVideoEncoder(saved).eval()
    assert torch.equal(encoder(clip), twin(clip))
    assert encoder.frozen
    assert not hasattr(encoder.backbone, "predictor")


def test_a_deeper_encoder_follows_its_preset():
    encoder = WeldVideoEncoder.from_preset(replace(TINY, transformer=Transformer(32, 3, 2)))
    assert len(encoder.backbone.encoder.layer) == 3
