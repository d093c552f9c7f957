"""The whole weld model: counts, masks, freezing, training."""

from __future__ import annotations

import pytest
import torch

from multimodal.build import build, token_widths
from multimodal.fusions import FUSIONS, WeldCrossAttentionFusion
from multimodal.heads import AuxiliaryHeads, masked_mean
from multimodal.losses import SupConLoss
from multimodal.presets import PRESETS
from multimodal.weld import QuadModalWeldModel
from multimodal.weld_classes import MODALITIES

from .conftest import TINY, fresh_model, weld_inputs
from .fusion_inputs import SIZES, WIDTHS, parameters


@pytest.fixture(scope="module")
def base() -> QuadModalWeldModel:
    with torch.device("meta"):  # shapes without two gigabytes of memory
        return build(PRESETS["weld_base"])


def test_the_published_model_has_494_220_800_parameters_without_heads(base):
    assert parameters(base) - parameters(base.heads) == 494_220_800


def test_heads_have_their_parameters(base):
    assert parameters(base.heads.classifier) == 6_156
    assert parameters(base.heads.anomaly) == 513
    assert parameters(base.heads.projection) == 525_312


def test_with_frozen_backbones_17_993_984_parameters_train(base):
    base.freeze_backbones()
    trainable = sum(parameter.numel() for parameter in base.parameters() if parameter.requires_grad)
    assert trainable - parameters(base.heads) == 17_993_984


@pytest.mark.parametrize("name", ["tiny", "weld_small"])
def test_token_shapes_are_those_of_the_preset(name):
    preset = PRESETS[name]
    with torch.device("meta"):
        model = build(preset)
        raw, valid = (
            {key: rows.to("meta") for key, rows in part.items()} for part in weld_inputs_on_cpu(preset)
        )
    tokens = model.encode(raw, valid)
    assert {key: tuple(rows.shape) for key, rows in tokens.items()} == {
        key: (2, preset.token_count(key), preset.token_width(key)) for key in MODALITIES
    }


def weld_inputs_on_cpu(preset):
    with torch.device("cpu"):
        return weld_inputs(2, preset)


def test_weld_small_has_under_four_million_parameters():
    with torch.device("meta"):
        assert parameters(build(PRESETS["weld_small"])) < 4_000_000  # 8 MB in half precision


def test_every_output_has_its_documented_shape_and_range(tiny_model):
    out = tiny_model(*weld_inputs(3))
    assert out.logits.shape == out.probabilities.shape == (3, 12)
    assert out.anomaly_logit.shape == out.anomaly_score.shape == (3,)
    assert out.embedding.shape == out.features.shape == out.projection.shape == (3, 32)
    torch.testing.assert_close(out.probabilities.sum(-1), torch.ones(3))
    torch.testing.assert_close(out.anomaly_score, out.anomaly_logit.sigmoid())
    for unit in (out.features, out.projection):
        torch.testing.assert_close(unit.norm(dim=-1), torch.ones(3))
    normalised = tiny_model.norm(out.embedding)
    torch.testing.assert_close(out.features, torch.nn.functional.normalize(normalised, dim=-1))


def test_encoding_and_fusing_apart_is_the_whole(tiny_model):
    raw, valid = weld_inputs(2)
    apart = tiny_model.fuse(tiny_model.encode(raw, valid), valid)
    assert torch.equal(apart.features, tiny_model(raw, valid).features)


def test_rows_that_are_not_valid_give_zero_tokens_even_when_they_hold_nan(tiny_model):
    raw, valid = weld_inputs(2)
    raw["sensor"][1] = float("nan")
    valid["sensor"][1] = False
    tokens = tiny_model.encode(raw, valid)
    assert (tokens["sensor"][1] == 0).all()
    assert (tokens["sensor"][0] != 0).any()
    assert torch.isfinite(tiny_model.fuse(tokens, valid).logits).all()


@pytest.mark.parametrize("modality", MODALITIES)
def test_what_an_invalid_modality_holds_does_not_matter(tiny_model, modality):
    raw, valid = weld_inputs(2)
    other, _ = weld_inputs(2, seed=1)
    valid[modality][:] = False
    changed = {**raw, modality: other[modality]}
    assert torch.equal(tiny_model(raw, valid).features, tiny_model(changed, valid).features)


@pytest.mark.parametrize("modality", MODALITIES)
def test_what_a_valid_modality_holds_does_matter(tiny_model, modality):
    raw, valid = weld_inputs(2)
    other, _ = weld_inputs(2, seed=1)
    changed = {**raw, modality: other[modality]}
    assert not torch.equal(tiny_model(raw, valid).features, tiny_model(changed, valid).features)


def test_one_bad_photo_masks_one_token_and_leaves_the_others(tiny_model):
    raw, valid = weld_inputs(1)
    valid["image"][0, 2] = False
    attention = tiny_model(raw, valid).attention["image"]
    assert (attention[..., 2] == 0).all()
    torch.testing.assert_close(attention.sum(-1), torch.ones(1, 4))
    noise = raw["image"].clone()
    noise[0, 2] = 255
    assert torch.equal(tiny_model({**raw, "image": noise}, valid).features, tiny_model(raw, valid).features)


def test_an_answer_without_any_modality_is_finite_and_always_the_same(tiny_model):
    raw, valid = weld_inputs(2)
    nothing = {name: torch.zeros_like(rows) for name, rows in valid.items()}
    out = tiny_model(raw, nothing)
    assert torch.isfinite(out.features).all()
    assert all((rows == 0).all() for rows in out.attention.values())
    torch.testing.assert_close(out.features[0], out.features[1])


def test_the_samples_of_a_short_recording_count(tiny_model):
    raw, valid = weld_inputs(1)
    short = {**raw, "audio_samples": torch.full((1, 1), 1_000, dtype=torch.int32)}
    assert not torch.equal(tiny_model(raw, valid).features, tiny_model(short, valid).features)


def test_rows_of_a_batch_do_not_see_each_other(tiny_model):
    raw, valid = weld_inputs(3)
    together = tiny_model(raw, valid).features
    for i in range(3):
        alone = tiny_model(*({name: rows[i : i + 1] for name, rows in part.items()} for part in (raw, valid)))
        torch.testing.assert_close(alone.features, together[i : i + 1], atol=1e-5, rtol=0)


def test_every_parameter_learns_except_those_that_cannot():
    model = fresh_model().train()
    out = model(*weld_inputs(2))
    (out.logits.square().sum() + out.anomaly_logit.sum() + out.projection.sum(0).square().sum()).backward()
    silent = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert silent == {"encoders.image.backbone.embeddings.mask_token"}  # DINOv2 uses it in pretraining only
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            assert torch.isfinite(parameter.grad).all(), name
            if "key.bias" not in name and "k_proj.bias" not in name:
                assert parameter.grad.abs().max() > 0, name


def test_frozen_backbones_stay_in_eval_mode_and_keep_no_gradient():
    model = fresh_model()
    model.freeze_backbones()
    model.train()
    model(*weld_inputs(2)).logits.sum().backward()
    for name in ("video", "image", "audio"):
        backbone = model.encoders[name].backbone
        assert not any(part.training for part in backbone.modules())
        assert all(
            not parameter.requires_grad and parameter.grad is None for parameter in backbone.parameters()
        )
    assert model.encoders["sensor"].training
    assert model.encoders["sensor"].embed.weight.grad.abs().max() > 0
    assert model.heads.classifier.weight.grad.abs().max() > 0


def test_parts_in_another_order_are_refused(tiny_model):
    shuffled = torch.nn.ModuleDict({name: tiny_model.encoders[name] for name in reversed(MODALITIES)})
    with pytest.raises(ValueError, match="expected encoders for video, image, audio, sensor in order"):
        QuadModalWeldModel(tiny_model.front_ends, shuffled, tiny_model.fusion)


@pytest.mark.parametrize("fusion", sorted(FUSIONS))
def test_any_fusion_of_the_table_can_be_built_in(fusion):
    out = build(TINY, fusion=fusion)(*weld_inputs(2))
    assert out.probabilities.shape == (2, 12)


def test_auxiliary_heads_classify_each_modality_and_train_its_encoder():
    model = fresh_model().train()
    raw, valid = weld_inputs(2)
    with pytest.raises(RuntimeError, match="call attach_auxiliary_heads first"):
        model.auxiliary_logits({})
    model.attach_auxiliary_heads(token_widths(TINY))
    logits = model.auxiliary_logits(model.encode(raw, valid), valid)
    assert {name: tuple(rows.shape) for name, rows in logits.items()} == dict.fromkeys(MODALITIES, (2, 12))
    logits["audio"].square().sum().backward()
    assert model.encoders["audio"].backbone.embeddings.cls_token.grad is not None
    assert model.encoders["video"].backbone.encoder.layernorm.weight.grad is None


def test_auxiliary_heads_average_valid_tokens_only():
    tokens = torch.tensor([[[2.0], [4.0], [90.0]]])
    assert masked_mean(tokens, torch.tensor([[True, True, False]])).tolist() == [[3.0]]
    assert masked_mean(tokens, torch.tensor([[False]])).tolist() == [[0.0]]
    assert masked_mean(tokens, None).tolist() == [[32.0]]
    assert set(AuxiliaryHeads({"audio": 1})({"audio": tokens})) == {"audio"}


def test_fusion_overfits_two_samples_of_each_class():
    """Contrastive loss to almost nothing and every nearest neighbour of the right class, in fifty steps."""
    torch.manual_seed(0)
    labels = torch.arange(12).repeat_interleave(2)
    tokens = {name: torch.randn(24, 4, width) for name, width in WIDTHS.items()}
    fusion, norm = WeldCrossAttentionFusion(WIDTHS, SIZES, dropout=0.0), torch.nn.LayerNorm(SIZES.width)
    optimiser = torch.optim.AdamW([*fusion.parameters(), *norm.parameters()], lr=1e-3)

    def features():
        return torch.nn.functional.normalize(norm(fusion(tokens)[0]), dim=-1)

    for _ in range(50):
        optimiser.zero_grad()
        loss = SupConLoss()(features(), labels)
        loss.backward()
        optimiser.step()
    similarity = (features() @ features().T).fill_diagonal_(-1)
    assert loss.item() < 0.02
    assert torch.equal(labels[similarity.argmax(dim=1)], labels)
