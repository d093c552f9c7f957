"""Building from a preset, and weights that travel through files."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Dinov2Model

from multimodal.build import build, save_weights, token_widths
from multimodal.encoders import WeldAudioEncoder, WeldImageEncoder, WeldVideoEncoder
from multimodal.encoders.backbone import load_backbone
from multimodal.presets import PRESETS

from .conftest import TINY, fresh_model, weld_inputs


def test_weights_written_in_half_precision_come_back_as_float32(tmp_path):
    model = fresh_model()
    path = save_weights(model, tmp_path / "new" / "tiny.safetensors")
    assert {tensor.dtype for tensor in load_file(path).values()} == {torch.float16}
    loaded = build(TINY, path)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    assert not loaded.training
    inputs = weld_inputs(2)
    torch.testing.assert_close(loaded(*inputs).features, model(*inputs).features, atol=5e-3, rtol=0)


def test_weights_written_in_full_precision_come_back_bit_for_bit(tmp_path):
    model = fresh_model()
    model.front_ends["sensor"].fit(torch.randn(50, 6) * 30 + 100)
    loaded = build(TINY, save_weights(model, tmp_path / "tiny.safetensors", torch.float32))
    inputs = weld_inputs(2)
    assert torch.equal(loaded(*inputs).features, model(*inputs).features)


def test_auxiliary_heads_stay_out_of_the_file(tmp_path):
    model = fresh_model()
    model.attach_auxiliary_heads(token_widths(TINY))
    path = save_weights(model, tmp_path / "tiny.safetensors")
    assert not any(name.startswith("auxiliary") for name in load_file(path))
    assert build(TINY, path).auxiliary is None


def test_weights_of_another_preset_are_refused_in_a_sentence(tmp_path):
    path = save_weights(fresh_model(), tmp_path / "tiny.safetensors")
    with pytest.raises(ValueError, match="use the preset that they were trained with"):
        build(PRESETS["weld_small"], path)


def test_missing_and_unknown_tensors_are_counted(tmp_path):
    path = save_weights(fresh_model(), tmp_path / "tiny.safetensors")
    state = load_file(path)
    state["stranger"] = state.pop("norm.weight")
    save_file(state, path)
    with pytest.raises(
        ValueError, match=r"1 missing, 1 unknown and 0 of another shape \(first: norm.weight\)"
    ):
        build(TINY, path)


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="found none; train or download it first"):
        build(TINY, tmp_path / "none.safetensors")


def test_an_unknown_fusion_names_the_known_ones():
    with pytest.raises(ValueError, match="expected one of weld_cross_attention, weld_mean_pool, got 'sum'"):
        build(TINY, fusion="sum")


def test_the_same_seed_builds_the_same_model():
    first, second = fresh_model(7).state_dict(), fresh_model(7).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("encoder", [WeldVideoEncoder, WeldImageEncoder, WeldAudioEncoder])
def test_a_hub_id_without_a_network_is_one_clear_sentence(encoder):
    with pytest.raises(
        OSError, match=r"or a reachable hub id, got 'nobody/nothing' \(.*\); download it once"
    ) as caught:
        encoder.from_pretrained("nobody/nothing")
    assert "\n" not in str(caught.value)


def test_backbones_stored_in_half_precision_are_loaded_as_float32(tmp_path):
    backbone = fresh_model().encoders["image"].backbone
    backbone.half().save_pretrained(tmp_path)
    loaded = load_backbone(Dinov2Model, tmp_path)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}


def test_a_source_that_cannot_be_reached_is_one_clear_sentence(tmp_path):
    with pytest.raises(
        OSError, match=r"Dinov2Model: expected a folder .* download it once and pass the folder"
    ) as caught:
        load_backbone(Dinov2Model, tmp_path / "nowhere")
    assert "\n" not in str(caught.value)
