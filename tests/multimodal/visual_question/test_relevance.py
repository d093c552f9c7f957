"""The relevance map: its arithmetic, its independence from the fusion, and its graph without autograd."""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from multimodal.visual_question.relevance import heat_of, relevance_by_autograd
from multimodal.visual_question.relevance_graph import RelevanceGraph, gelu, norm
from multimodal.visual_question.served import served_part

from .random_blip import lively_model, random_model

ROWS = [[0.2, 0.1, 0.3, 0.2, 0.2], [0.1, 0.4, 0.1, 0.2, 0.2], [0.2] * 5, [0.5, 0.1, 0.1, 0.1, 0.2]]
GRADIENTS = [[1] * 5, [0, 2, -1, 1, 0], [0, 1, 1, -1, 2], [9] * 5]


def test_a_map_is_the_mean_over_words_of_attention_where_its_gradient_is_positive():
    attention, gradient = (torch.tensor(rows, dtype=torch.float32)[None, None] for rows in (ROWS, GRADIENTS))
    heat = heat_of(attention, gradient, torch.ones(1, 4, dtype=torch.int64))
    # words are rows 1 and 2: (0.8 + 0.2, 0 + 0.2, 0.2 + 0, 0 + 0.4) / 2
    assert torch.allclose(heat, torch.tensor([[0.5, 0.1, 0.1, 0.2]]))


def test_heads_are_averaged_however_many_there_are():
    attention, gradient = (torch.tensor(rows, dtype=torch.float32)[None, None] for rows in (ROWS, GRADIENTS))
    heat = heat_of(
        torch.cat([attention, attention], dim=1),
        torch.cat([gradient, -gradient.abs()], dim=1),
        torch.ones(1, 4, dtype=torch.int64),
    )
    assert torch.allclose(heat, torch.tensor([[0.25, 0.05, 0.05, 0.1]]))


def test_padding_behind_a_text_is_no_word():
    attention, gradient = (torch.tensor(rows, dtype=torch.float32)[None, None] for rows in (ROWS, GRADIENTS))
    heat = heat_of(attention, gradient, torch.tensor([[1, 1, 1, 0]]))
    assert torch.allclose(heat, torch.tensor([[0.8, 0.0, 0.2, 0.0]]))


@pytest.mark.parametrize("length", [0, 1, 2])
def test_a_text_without_words_gives_a_finite_map(length):
    mask = torch.tensor([[1] * length + [0] * (4 - length)])
    attention = torch.full((1, 1, 4, 5), 0.2)
    assert torch.isfinite(heat_of(attention, attention, mask)).all()


def test_a_map_is_square_and_never_negative(lively, pixels, asked):
    heat, score = lively.relevance_map(pixels, *asked)
    assert heat.shape == (2, 4, 4)
    assert (heat >= 0).all()
    assert heat.max() > 0
    assert ((score > 0) & (score < 1)).all()


def test_no_weight_of_the_fusion_changes_a_bit_of_the_map(lively, pixels, asked):
    before, score = lively.relevance_map(pixels, *asked)
    with torch.no_grad():
        parts = (lively.fusion, lively.itm_in, lively.cap_in, lively.out)
        for parameter in [lively.gate, *(one for part in parts for one in part.parameters())]:
            parameter.add_(1.0)
    after, same = lively.relevance_map(pixels, *asked)
    assert torch.equal(before, after)
    assert torch.equal(score, same)


def test_a_map_leaves_no_gradient_behind(lively, pixels, asked):
    with torch.no_grad():
        heat, _ = lively.relevance_map(pixels, *asked)
    assert not heat.requires_grad
    assert all(parameter.grad is None for parameter in lively.parameters())


def test_the_last_layer_is_refused_because_words_have_no_gradient_there(lively, pixels, asked):
    with pytest.raises(
        ValueError, match="from 0 to 0, got 1; the last of the 2 layers moves the first token"
    ):
        lively.relevance_map(pixels, *asked, layer=1)
    with pytest.raises(ValueError, match="from 0 to 0, got 1"):
        RelevanceGraph(lively.itm, 1)


def test_the_graph_gives_what_autograd_gives(lively, pixels, asked):
    ids, mask = asked
    with torch.no_grad():
        seen = lively.itm.vision_model(pixels).last_hidden_state
        heat, score = RelevanceGraph(lively.itm, 0)(seen, ids, mask)
    expected, match = relevance_by_autograd(lively.itm, seen, ids, mask, 0)
    assert (heat - expected).abs().max() <= 1e-5 * expected.max()
    assert torch.allclose(score, match, atol=1e-6)


def test_so_it_does_through_several_layers(preset, pixels, asked):
    deep = random_model(replace(preset, text=replace(preset.text, layers=4, relevance_layer=1)))
    with torch.no_grad():
        seen = deep.itm.vision_model(pixels).last_hidden_state
    for layer in (0, 1, 2):
        expected, _ = relevance_by_autograd(deep.itm, seen, *asked, layer)
        heat, _ = RelevanceGraph(deep.itm, layer)(seen, *asked)
        assert (heat - expected).abs().max() <= 1e-5 * expected.max()


def test_the_pullbacks_are_the_derivatives():
    layer = nn.LayerNorm(6)
    nn.init.uniform_(layer.weight)
    given = torch.randn(3, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    towards = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    for said, pull, expected in (
        (*norm(layer, given), layer(given)),
        (*gelu(given), nn.functional.gelu(given)),
    ):
        assert torch.allclose(said, expected, atol=1e-6)
        (gradient,) = torch.autograd.grad(expected, given, towards)
        assert torch.allclose(pull(towards), gradient, atol=1e-6)


def test_another_activation_is_refused(model):
    model.itm.config.text_config.hidden_act = "relu"
    with pytest.raises(ValueError, match="expected the activation gelu, got relu"):
        RelevanceGraph(model.itm, 0)


@pytest.fixture(scope="module")
def exported():
    """The served graph of `lively`'s map on ONNX Runtime."""
    ids, valid = torch.ones(2, 9, dtype=torch.int64), torch.ones(2, 1, dtype=torch.bool)
    batch = torch.export.Dim("batch", min=1, max=8)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            served_part(lively_model(), "relevance"),
            (torch.randn(2, 17, 48), ids, ids.clone(), valid, valid.clone()),
            dynamo=True,
            opset_version=20,
            dynamic_shapes=({0: batch},) * 5,
            verbose=False,
        )
    return ort.InferenceSession(program.model_proto.SerializeToString())


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 2, 8])
def test_the_exported_graph_gives_what_autograd_gives_at_any_batch(exported, lively, pixels, asked, batch):
    rows = torch.arange(batch) % 2
    with torch.no_grad():
        seen = lively.itm.vision_model(pixels).last_hidden_state[rows]
    ids, mask = (tensor[rows] for tensor in asked)
    expected, score = relevance_by_autograd(lively.itm, seen, lively.encoded_with_image(ids), mask, 0)
    valid = np.ones((batch, 1), bool)
    valid[1:2] = False  # a second row that has no image
    feeds = dict(
        zip(
            [tensor.name for tensor in exported.get_inputs()],
            (seen.numpy(), ids.numpy(), mask.numpy(), valid, np.ones((batch, 1), bool)),
            strict=True,
        )
    )
    heat, match = exported.run(None, feeds)
    there = valid[:, 0]
    assert heat.shape == (batch, 4, 4)
    difference = np.abs(heat.reshape(batch, -1) - expected.numpy())[there].max()
    assert difference <= 1e-5 * float(expected.max())
    assert np.allclose(match[there], score.numpy()[there], atol=1e-5)
    assert not heat[~there].any()
    assert not match[~there].any()
