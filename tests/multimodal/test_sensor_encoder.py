"""Sensor encoder: positions, masks and lengths."""

from __future__ import annotations

import pytest
import torch

from multimodal.encoders import WeldSensorEncoder
from multimodal.encoders.sensor import sinusoidal_positions
from multimodal.presets import Transformer

from .fusion_inputs import parameters


@pytest.fixture
def encoder() -> WeldSensorEncoder:
    torch.manual_seed(0)
    return WeldSensorEncoder(6, Transformer(32, 2, 4), max_seq_len=16).eval()


def test_the_published_encoder_has_3_161_344_parameters():
    with torch.device("meta"):
        assert parameters(WeldSensorEncoder()) == 3_161_344


def test_positions_have_their_known_values():
    positions = sinusoidal_positions(2, 256)
    assert positions[0, :4].tolist() == [0.0, 1.0, 0.0, 1.0]
    torch.testing.assert_close(
        positions[1, :4], torch.tensor([0.8415, 0.5403, 0.8020, 0.5974]), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("steps", [1, 16, 600])
def test_any_length_gives_one_token_a_step(encoder, steps):
    assert encoder(torch.randn(2, steps, 6)).shape == (2, steps, 32)


def test_masked_steps_might_as_well_be_cut_off(encoder):
    series = torch.randn(2, 12, 6)
    valid = torch.arange(12).expand(2, 12) < 9
    garbage = series.masked_fill(~valid.unsqueeze(-1), 50.0)
    torch.testing.assert_close(encoder(garbage, valid)[:, :9], encoder(series[:, :9]), atol=1e-5, rtol=0)


def test_layers_start_with_weights_of_their_own(encoder):
    first, second = (layer.attention.query.weight for layer in encoder.layers)
    assert not torch.equal(first, second)


def test_dropout_works_in_training_only(encoder):
    series = torch.randn(1, 8, 6)
    assert torch.equal(encoder(series), encoder(series))
    encoder.train()
    assert not torch.equal(encoder(series), encoder(series))
