"""Presets, tokenizers, and one file of weights."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from multimodal.visual_question.build import (
    build_visual_question,
    generation_settings,
    own_state,
    save_visual_question,
)
from multimodal.visual_question.presets import VISUAL_QUESTION_PRESETS, TextSizes, VisionSizes
from multimodal.visual_question.tokenizer import (
    METADATA_KEY,
    build_tokenizer,
    load_tokenizer,
    tokenizer_json,
)
from multimodal.visual_question.vocabulary import TOKENS

SMALL = VISUAL_QUESTION_PRESETS["visual_question_answering_small"]
BASE = VISUAL_QUESTION_PRESETS["visual_question_answering_base"]


def test_base_has_the_sizes_of_blip():
    assert (BASE.image_px, BASE.grid, BASE.patches) == (384, 24, 576)
    assert (BASE.vision_width, BASE.fused_width, BASE.state_width) == (768, 768, 768)
    assert BASE.text.relevance_layer == 7


def test_small_looks_at_64_patches():
    assert (SMALL.image_px, SMALL.grid, SMALL.patches) == (64, 8, 64)
    assert SMALL.captions == 5


def test_the_last_layer_is_no_relevance_layer():
    with pytest.raises(ValueError, match="expected a relevance layer from 0 to 1, got 2"):
        TextSizes(width=16, layers=3, heads=2, length=12, relevance_layer=2)


def test_broken_patches_are_refused():
    with pytest.raises(ValueError, match="got 60 px in 8 px patches"):
        VisionSizes(image_px=60, patch_px=8, width=16, layers=1, heads=2)


def test_more_patches_than_there_are_cannot_be_drawn():
    with pytest.raises(ValueError, match="at most the 64 patches of an image to be drawn, got 65"):
        replace(SMALL, generation=replace(SMALL.generation, patches=65))


def test_weights_come_back_in_half_precision(tmp_path, preset, model, pixels):
    path = save_visual_question(model, preset, tmp_path / "w.safetensors")
    loaded = build_visual_question(preset, path)
    for name, tensor in own_state(model).items():
        assert torch.equal(loaded.state_dict()[name], tensor.half().float())
    again = save_visual_question(loaded, preset, tmp_path / "again.safetensors")
    assert again.read_bytes() == path.read_bytes()


def test_output_weights_that_are_embeddings_are_stored_once_and_stay_tied(tmp_path, preset, model):
    path = save_visual_question(model, preset, tmp_path / "w.safetensors")
    assert not [name for name in load_file(path) if name.endswith("predictions.decoder.weight")]
    decoder = build_visual_question(preset, path).captioner.text_decoder
    assert decoder.get_output_embeddings().weight is decoder.get_input_embeddings().weight


def test_what_would_never_run_is_not_built(model):
    assert model.qa.vision_model is None
    assert model.itm.text_proj is None


def test_weights_of_another_preset_are_refused(tmp_path, preset, model):
    path = save_visual_question(model, preset, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="use the preset that they were trained with"):
        build_visual_question(VISUAL_QUESTION_PRESETS["visual_question_answering_tiny"], path)


def test_weights_trained_with_other_words_are_refused(tmp_path, preset, model):
    path = save_visual_question(model, preset, tmp_path / "w.safetensors")
    words = json.loads(tokenizer_json(preset))
    words["model"]["vocab"]["rhombus"] = words["model"]["vocab"].pop("circle")
    save_file(load_file(path), path, {METADATA_KEY: json.dumps(words)})
    with pytest.raises(ValueError, match="expected the 92 tokens of this preset"):
        build_visual_question(preset, path)


def test_missing_weights_are_missed(tmp_path, preset):
    with pytest.raises(FileNotFoundError, match="train or download it first"):
        build_visual_question(preset, tmp_path / "none.safetensors")
    with pytest.raises(FileNotFoundError, match="train or download it first"):
        tokenizer_json(preset, tmp_path / "none.safetensors")


def test_weights_without_a_tokenizer_are_refused(tmp_path, preset):
    save_file({"x": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="expected a tokenizer in their metadata, found none"):
        tokenizer_json(preset, tmp_path / "w.safetensors")


def test_one_seed_builds_one_model(preset):
    models = []
    for _ in range(2):
        torch.manual_seed(7)
        models.append(own_state(build_visual_question(preset)))
    assert all(torch.equal(tensor, models[1][name]) for name, tensor in models[0].items())


def test_a_question_becomes_words_between_marks(tokenizer):
    words = ["[CLS]", "is", "there", "a", "red", "circle", "[SEP]"]
    assert tokenizer.encode("Is there a RED circle").tokens == words
    assert tokenizer.encode("a rhombus").tokens == ["[CLS]", "a", "[UNK]", "[SEP]"]


@pytest.mark.parametrize("preset_name", ["visual_question_answering_small", "visual_question_answering_base"])
@pytest.mark.parametrize("mark", ["?", " ?", "?? "])
def test_the_question_mark_at_the_end_is_not_read(preset_name, mark):
    tokenizer = build_tokenizer(VISUAL_QUESTION_PRESETS[preset_name])
    assert tokenizer.encode(f"is it red{mark}").ids == tokenizer.encode("is it red").ids
    assert tokenizer.encode("red? is it blue").ids != tokenizer.encode("red is it blue").ids


def test_the_separator_of_the_reader_is_one_token(tokenizer):
    assert tokenizer.encode(r"what \n a circle.").tokens[2:-1] == [r"\n", "a", "circle", "."]


def test_special_tokens_stay_out_of_answers(tokenizer):
    assert tokenizer.decode([4, TOKENS.index("red"), TOKENS.index("circle"), 3, 0]) == "red circle"


def test_the_tokenizer_travels_with_the_weights(tmp_path, preset, model, tokenizer):
    path = save_visual_question(model, preset, tmp_path / "w.safetensors")
    text = "is there a red circle?"
    assert load_tokenizer(preset, path).encode(text).ids == tokenizer.encode(text).ids
    assert Tokenizer.from_str(tokenizer_json(preset, path)).get_vocab() == tokenizer.get_vocab()


def test_base_reads_berts_pieces_and_the_two_tokens_of_blip():
    tokenizer = build_tokenizer(BASE)
    ids = BASE.text.tokens
    assert tokenizer.encode("a circle").ids[0] == ids.start == 101
    assert tokenizer.token_to_id("[DEC]") == ids.decode
    assert tokenizer.token_to_id("[ENC]") == ids.encode
    assert tokenizer.get_vocab_size() == BASE.text.vocabulary


def test_settings_of_a_generation_name_every_decoder(preset, model, tokenizer):
    said = generation_settings(preset, model)
    prompt = [tokenizer.token_to_id(word) for word in ("[DEC]", "a", "picture", "of")]
    assert list(said["caption"]["prompt"]) == prompt
    assert said["answer"]["end"] == tokenizer.token_to_id("[SEP]")
    assert list(said["reader"]["prompt"]) == [tokenizer.token_to_id("[PAD]")]
    assert said["captions"] == preset.captions
