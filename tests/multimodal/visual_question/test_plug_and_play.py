"""Fusing, looking, captioning and answering with a small random BLIP."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from multimodal.visual_question.blip import PIXEL_MEAN, PIXEL_STD, build_blips
from multimodal.visual_question.build import Sources, assembled, build_visual_question, from_pretrained
from multimodal.visual_question.dual_stream import DualStreamFusionEncoder
from multimodal.visual_question.grids import resize_grid
from multimodal.visual_question.plug_and_play import BlipFamily, PNPVQAFusion
from multimodal.visual_question.presets import VISUAL_QUESTION_PRESETS, VisionSizes
from multimodal.visual_question.vocabulary import OWN_TOKENS

BASE = VISUAL_QUESTION_PRESETS["visual_question_answering_base"]


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def caption_logits(model, seen, ids):
    return model.captioner.text_decoder(input_ids=ids, encoder_hidden_states=seen).logits


def test_base_has_the_published_counts_of_all_three_models():
    with torch.device("meta"):
        counts = [count(model) for model in build_blips(BASE)]
    assert counts == [223_744_258, 223_971_644, 361_230_140]


def test_the_fusion_of_base_needs_no_projections():
    with torch.device("meta"):
        model = build_visual_question(BASE)
    assert count(model.fusion) == 14_198_784
    assert count(model.itm_in) == count(model.cap_in) == count(model.out) == 0


def test_large_vision_models_are_projected_into_the_fusion_and_out_of_it():
    large = replace(BASE, vision=VisionSizes(image_px=384, patch_px=16, width=1024, layers=2, heads=16))
    with torch.device("meta"):
        model = build_visual_question(large)
    added = count(model.fusion) + count(model.itm_in) + count(model.cap_in) + count(model.out)
    assert added == 14_198_784 + 2 * 787_200 + 787_456


def test_fused_tokens_are_as_many_and_as_wide_as_the_captioners(model, pixels):
    seen = model.fuse_visual_features(pixels)
    assert seen["fused"].shape == seen["itm_features"].shape == (2, 17, 48)
    assert seen["valid"].all()
    assert model.fuse_visual_features(pixels, drop_cls=True)["fused"].shape == (2, 16, 48)


def test_features_are_the_last_hidden_states_not_the_pooled_ones_normed_twice(model, pixels):
    said = model.itm.vision_model(pixels)
    assert torch.equal(model.fuse_visual_features(pixels)["itm_features"], said.last_hidden_state)


def test_with_the_gate_shut_the_captioner_says_exactly_what_it_says_alone(model, pixels):
    ids = torch.tensor([[4, 11, 20], [4, 30, 12]])
    alone = model.captioner(pixel_values=pixels, input_ids=ids).logits
    assert torch.equal(caption_logits(model, model.fuse_visual_features(pixels)["fused"], ids), alone)


def test_with_the_gate_open_it_says_something_else(model, pixels):
    ids = torch.tensor([[4, 11, 20], [4, 30, 12]])
    shut = caption_logits(model, model.fuse_visual_features(pixels)["fused"], ids)
    nn.init.constant_(model.gate, 1.0)
    assert not torch.allclose(
        caption_logits(model, model.fuse_visual_features(pixels)["fused"], ids), shut, atol=1e-3
    )


def test_a_picture_is_fused_the_same_alone_and_in_a_batch(model, pixels):
    nn.init.constant_(model.gate, 1.0)
    together = model.fuse_visual_features(pixels)["fused"]
    assert torch.allclose(together[1:], model.fuse_visual_features(pixels[1:])["fused"], atol=1e-5)


def test_half_precision_gives_numbers(model, pixels, asked):
    nn.init.constant_(model.gate, 1.0)
    with torch.autocast("cpu", torch.bfloat16):
        fused = model.fuse_visual_features(pixels)["fused"]
        states = model.question_states(fused, *asked)
    assert torch.isfinite(fused).all()
    assert torch.isfinite(states).all()


def test_both_vision_models_may_have_grids_and_widths_of_their_own(pixels, preset):
    torch.manual_seed(0)
    fine = replace(preset, vision=VisionSizes(image_px=64, patch_px=8, width=24, layers=1, heads=2))
    family = BlipFamily(build_blips(fine)[0], *build_blips(preset)[1:])
    model = assembled(family, preset.fusion, OWN_TOKENS, 0)
    seen = model.fuse_visual_features(pixels)
    assert seen["itm_features"].shape == (2, 65, 24)
    assert seen["captioner_features"].shape == (2, 17, 48)
    assert seen["fused"].shape == (2, 65, 48)
    assert torch.equal(seen["fused"], resize_grid(seen["captioner_features"], 8))


def test_a_resized_grid_keeps_its_class_token_and_its_mean():
    tokens = torch.arange(10.0).reshape(1, 5, 2)
    resized = resize_grid(tokens, 4)
    assert resized.shape == (1, 17, 2)
    assert torch.equal(resized[:, 0], tokens[:, 0])
    assert torch.allclose(resized[:, 1:].mean(dim=1), tokens[:, 1:].mean(dim=1))


def test_vision_models_that_look_at_different_sizes_are_refused(preset):
    other = replace(preset, vision=VisionSizes(image_px=32, patch_px=8, width=48, layers=1, heads=4))
    family = BlipFamily(build_blips(other)[0], build_blips(preset)[1])
    with pytest.raises(ValueError, match="expected one image size, got 32 px for matching and 64 px"):
        PNPVQAFusion(family, DualStreamFusionEncoder.of(preset.fusion), OWN_TOKENS, 0)


def test_an_answering_model_that_reads_another_width_is_refused(preset):
    other = replace(preset, vision=VisionSizes(image_px=64, patch_px=16, width=24, layers=1, heads=4))
    family = BlipFamily(*build_blips(preset)[:2], build_blips(other)[2])
    with pytest.raises(ValueError, match="tokens of width 48 as the captioner has, got 24"):
        PNPVQAFusion(family, DualStreamFusionEncoder.of(preset.fusion), OWN_TOKENS, 0)


def test_the_first_token_of_a_text_says_that_an_image_goes_with_it(model, asked):
    ids, _ = asked
    assert model.encoded_with_image(ids)[:, 0].tolist() == [OWN_TOKENS.encode] * 2
    assert torch.equal(model.encoded_with_image(ids)[:, 1:], ids[:, 1:])
    model.use_enc_token = False
    assert model.encoded_with_image(ids) is ids


def test_captions_are_told_as_many_as_asked_and_the_same_each_time(model, pixels, asked, settings, tokenizer):
    fused, ids = model.fuse_visual_features(pixels)["fused"], asked[0]
    relevance, _ = model.relevance_map(pixels, *asked)
    told = model.caption(fused, relevance, ids, settings, tokenizer)
    assert [len(captions) for captions in told] == [3, 3]
    assert model.caption(fused, relevance, ids, settings, tokenizer) == told


def test_a_caption_does_not_depend_on_the_batch_it_is_told_in(model, pixels, asked, settings, tokenizer):
    fused, ids = model.fuse_visual_features(pixels)["fused"], asked[0]
    relevance, _ = model.relevance_map(pixels, *asked)
    together = model.caption(fused, relevance, ids, settings, tokenizer)
    alone = model.caption(fused[1:], relevance[1:], ids[1:], settings, tokenizer)
    assert alone == together[1:]


def test_captions_are_told_of_a_map_of_zeros_too(model, pixels, asked, settings, tokenizer):
    fused = model.fuse_visual_features(pixels)["fused"]
    told = model.caption(fused, torch.zeros(2, 4, 4), asked[0], settings, tokenizer)
    assert [len(captions) for captions in told] == [3, 3]


def test_visual_answers_ignore_what_is_behind_the_question(model, pixels, asked, settings, tokenizer):
    fused, (ids, mask) = model.fuse_visual_features(pixels)["fused"], asked
    answers, chances = model.answer_visually(fused, ids, mask, settings.answer, tokenizer)
    longer = torch.cat([ids, torch.zeros(2, 2, dtype=torch.int64)], dim=1)
    behind, same = model.answer_visually(fused, longer, (longer != 0).long(), settings.answer, tokenizer)
    assert answers == behind
    assert same == pytest.approx(chances, rel=1e-4)


@pytest.mark.parametrize("mode", ["visual", "text"])
def test_an_answer_comes_with_everything_on_the_way(model, pixels, settings, tokenizer, mode):
    samples = {"image": pixels, "text_input": ["is there a red circle?", "what color is it?"]}
    said = model.answer(samples, settings, tokenizer, mode)
    assert said["text_input"] == samples["text_input"]
    assert said["gradcams"].shape == (2, 4, 4)
    assert said["match"].shape == (2, 1)
    assert said["fused_visual_features"].shape == (2, 17, 48)
    assert [len(captions) for captions in said["captions"]] == [3, 3]
    assert len(said["answers"]) == 2
    assert ((said["probabilities"] > 0) & (said["probabilities"] <= 1)).all()


def test_the_picture_reaches_text_answers_through_captions_alone(model, settings, tokenizer):
    questions = ["is there a red circle?"] * 2
    same = [["a red circle", "it is red", "red"]] * 2
    answers, chances = model.answer_from_text(questions, same, settings, tokenizer)
    assert answers[0] == answers[1]
    assert chances[0] == pytest.approx(chances[1], rel=1e-5)
    other = [same[0], ["a blue triangle", "it is blue", "blue"]]
    _, changed = model.answer_from_text(questions, other, settings, tokenizer)
    assert changed[1] != pytest.approx(chances[1], rel=1e-3)


def test_other_modes_are_refused_by_name(model, pixels, settings, tokenizer):
    with pytest.raises(ValueError, match="expected mode visual or text, got 'audio'"):
        model.answer({"image": pixels, "text_input": ["", ""]}, settings, tokenizer, "audio")


def test_what_was_left_out_is_missed_in_one_sentence(preset, pixels, asked, settings, tokenizer):
    family = BlipFamily(*build_blips(preset)[:2])
    model = assembled(family, preset.fusion, OWN_TOKENS, 0).eval()
    with pytest.raises(ValueError, match="visual mode: expected a question answering model, got none"):
        model.question_states(model.fuse_visual_features(pixels)["fused"], *asked)
    with pytest.raises(ValueError, match="text mode: expected a text reader, got none"):
        model.answer_from_text(["what?"], [["a circle"]], settings, tokenizer)


def test_gradients_reach_the_fusion_and_neither_the_vision_models_nor_the_match(model, pixels):
    model.freeze_pretrained()
    nn.init.constant_(model.gate, 0.5)
    ids = torch.tensor([[4, 11, 20], [4, 30, 12]])
    seen = model.fuse_visual_features(pixels)["fused"]
    model.captioner.text_decoder(input_ids=ids, encoder_hidden_states=seen, labels=ids).loss.backward()
    assert all(parameter.grad is None for parameter in model.itm.parameters())
    assert all(parameter.grad is None for parameter in model.captioner.vision_model.parameters())
    assert model.gate.grad.abs() > 0
    for part in (model.fusion, model.itm_in, model.cap_in, model.out):
        grads = [parameter.grad for parameter in part.parameters() if parameter.grad is not None]
        assert sum(float(grad.abs().sum()) for grad in grads) > 0


def test_the_fusion_learns_eight_captions_while_everything_pretrained_stays_bit_for_bit(model):
    model.freeze_pretrained(decoders_too=True)
    before = {name: tensor.clone() for name, tensor in model.itm.state_dict().items()}
    pixels = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    ids = torch.randint(6, 90, (8, 4), generator=torch.Generator().manual_seed(3))
    ids[:, 0] = OWN_TOKENS.decode
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(learning, 3e-3)
    losses = []
    for _ in range(12):
        seen = model.fuse_visual_features(pixels)["fused"]
        loss = model.captioner.text_decoder(input_ids=ids, encoder_hidden_states=seen, labels=ids).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.05
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.itm.state_dict().items())


def test_checkpoints_in_folders_make_the_same_model(tmp_path, preset, pixels, settings, tokenizer):
    torch.manual_seed(0)
    matching, captioning, answering = build_blips(preset)
    reader = build_visual_question(preset).reader
    for name, part in {"m": matching, "c": captioning, "a": answering, "r": reader}.items():
        part.save_pretrained(tmp_path / name)
    sources = Sources(*(tmp_path / name for name in "mcar"))
    loaded = from_pretrained(sources, preset.fusion, OWN_TOKENS, relevance_layer=0)
    torch.manual_seed(1)
    built = assembled(
        BlipFamily(matching, captioning, answering, reader), preset.fusion, OWN_TOKENS, 0
    ).eval()
    samples = {"image": pixels, "text_input": ["is there a red circle?", "what color is it?"]}
    for mode in ("visual", "text"):  # the gate is shut: untrained fusions differ and change nothing
        one, other = (model.answer(samples, settings, tokenizer, mode) for model in (loaded, built))
        assert one["answers"] == other["answers"]
        assert one["captions"] == other["captions"]
        assert torch.equal(one["gradcams"], other["gradcams"])


def test_a_checkpoint_that_normalises_pictures_otherwise_is_refused(tmp_path, preset):
    matching, captioning, _ = build_blips(preset)
    matching.save_pretrained(tmp_path / "m")
    captioning.save_pretrained(tmp_path / "c")
    said = {"image_mean": list(PIXEL_MEAN), "image_std": list(PIXEL_STD)}
    (tmp_path / "m" / "preprocessor_config.json").write_text(json.dumps(said))
    sources = Sources(tmp_path / "m", tmp_path / "c")
    from_pretrained(sources, preset.fusion, OWN_TOKENS, relevance_layer=0)
    (tmp_path / "c" / "preprocessor_config.json").write_text(json.dumps(said | {"image_mean": [0.5] * 3}))
    with pytest.raises(ValueError, match=r"image_mean of BLIP, .* got \[0.5, 0.5, 0.5\]"):
        from_pretrained(sources, preset.fusion, OWN_TOKENS, relevance_layer=0)


def test_a_checkpoint_that_is_nowhere_is_named_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(OSError, match="expected a folder from save_pretrained or a reachable hub id"):
        from_pretrained(Sources(tmp_path / "nowhere", tmp_path / "nowhere"))
