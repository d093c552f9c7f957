"""Audio encoder: axes, strides and time bins."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import ASTConfig, ASTModel

from multimodal.encoders import WeldAudioEncoder
from multimodal.presets import PRESETS

from .fusion_inputs import parameters

TINY = PRESETS["tiny"].audio


@pytest.fixture
def encoder() -> WeldAudioEncoder:
    torch.manual_seed(0)
    return WeldAudioEncoder.from_preset(TINY).eval()


@pytest.mark.parametrize(("stride", "count"), [(14, 85_761_024), (10, 86_187_264)])
def test_the_published_encoders_have_their_parameters(stride, count):
    with torch.device("meta"):
        assert (
            parameters(WeldAudioEncoder.from_preset(replace(PRESETS["weld_base"].audio, stride=stride)))
            == count
        )


@pytest.mark.parametrize(("stride", "grid"), [(14, (9, 73)), (10, (12, 101))])
def test_the_patch_grid_is_read_from_the_strides(stride, grid):
    with torch.device("meta"):
        encoder = WeldAudioEncoder.from_preset(replace(PRESETS["weld_base"].audio, stride=stride))
        tokens = encoder.backbone.embeddings.position_embeddings.shape[1]
        assert tokens == 2 + grid[0] * grid[1]
        assert encoder(torch.zeros(1, 1024, 128)).shape == (1, 12, 768)


def test_mel_major_input_is_transposed_not_misread(encoder):
    features = torch.randn(2, 64, 128)
    assert torch.equal(encoder(features.transpose(1, 2).unsqueeze(1)), encoder(features))


def test_exchanged_axes_are_refused(encoder):
    with pytest.raises(ValueError, match=r"128 mel bins, got \(2, 128, 64\); swap the axes"):
        encoder(torch.randn(2, 128, 64))


def test_short_features_are_padded_with_silence_and_long_ones_cut(encoder):
    features = torch.randn(1, 80, 128)
    assert torch.equal(encoder(features), encoder(features[:, :64]))
    assert encoder(features[:, :30]).shape == (1, 12, 32)


def test_time_bins_follow_time():
    """Each of four time steps of patches becomes three of the twelve tokens, averaged over frequency."""
    torch.manual_seed(0)
    encoder = WeldAudioEncoder.from_preset(TINY).eval()
    features = torch.randn(1, 64, 128)
    hidden = encoder.backbone(features).last_hidden_state[:, 2:].unflatten(1, (8, 4))
    tokens = encoder(features)
    for bin_index in range(12):
        expected = hidden[:, :, bin_index // 3].mean(dim=1)
        torch.testing.assert_close(tokens[:, bin_index], expected, atol=1e-5, rtol=0)


def test_frequency_rows_are_an_option():
    torch.manual_seed(0)
    config = ASTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, max_length=64)
    encoder = WeldAudioEncoder(ASTModel(config), pooling="freq_rows")
    assert encoder(torch.randn(1, 64, 128)).shape == (1, 12, 32)
    with pytest.raises(ValueError, match="expected one of time_bins, freq_rows, got 'cls'"):
        WeldAudioEncoder(ASTModel(config), pooling="cls")


def test_weights_come_back_from_a_local_folder(tmp_path, encoder):
    encoder.backbone.save_pretrained(tmp_path)
    features = torch.randn(1, 64, 128)
    torch.testing.assert_close(WeldAudioEncoder.from_pretrained(tmp_path)(features), encoder(features))
