"""Light encoders keep the token contract of the real ones."""

from __future__ import annotations

import pytest
import torch

from multimodal.build import build
from multimodal.encoders import ENCODERS, LIGHT_ENCODERS
from multimodal.presets import PRESETS
from multimodal.weld_classes import MODALITIES

from .conftest import TINY, weld_inputs


@pytest.mark.parametrize("preset", ["tiny", "weld_base"])
def test_light_tokens_have_the_shape_of_real_ones(preset):
    with torch.device("cpu"):
        raw, valid = weld_inputs(1, PRESETS[preset])
    with torch.device("meta"):
        model = build(PRESETS[preset], encoders=LIGHT_ENCODERS)
    raw, valid = ({name: rows.to("meta") for name, rows in part.items()} for part in (raw, valid))
    for name, tokens in model.encode(raw, valid).items():
        assert tokens.shape == (1, PRESETS[preset].token_count(name), PRESETS[preset].token_width(name))


def test_a_model_of_light_encoders_trains_end_to_end():
    torch.manual_seed(0)
    model = build(TINY, encoders=LIGHT_ENCODERS).train()
    out = model(*weld_inputs(2))
    out.logits.square().sum().backward()
    for name in MODALITIES:
        for parameter in model.encoders[name].parameters():
            assert parameter.grad.abs().max() > 0, name


def test_both_tables_name_the_same_modalities():
    assert tuple(ENCODERS) == tuple(LIGHT_ENCODERS) == MODALITIES
