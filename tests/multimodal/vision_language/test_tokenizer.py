"""A preset's tokenizer is one text, cuts and pads by itself, and knows every word of easy-VQA."""

import json
from dataclasses import replace

import pytest
from tokenizers import Tokenizer

from multimodal.pretrained import minilm_folder
from multimodal.vision_language.presets import VISION_LANGUAGE_PRESETS, Words
from multimodal.vision_language.tokenizer import tokenise, tokenizer_json
from training.easy_vqa import load_split
from training.easy_vqa_captions import COLOURS, PLACES, SHAPES, SIZES, WORDINGS

from .pairs import TINY


def tokenizer_of(preset):
    return Tokenizer.from_str(tokenizer_json(preset))


@pytest.mark.parametrize("name", VISION_LANGUAGE_PRESETS)
def test_every_text_has_the_length_of_the_preset(name):
    preset = VISION_LANGUAGE_PRESETS[name]
    ids, mask = tokenise(["a red circle", "a red circle " * 40], tokenizer_of(preset))
    assert ids.shape == mask.shape == (2, preset.words.tokens)
    assert mask.sum(dim=1).tolist() == [5, preset.words.tokens]
    assert int(ids.max()) < preset.words.vocabulary


def test_cut_texts_keep_their_marks_and_short_ones_are_padded():
    tokenizer = tokenizer_of(VISION_LANGUAGE_PRESETS["vision_language_small"])
    ids, _ = tokenise(["red", "red " * 40], tokenizer)
    assert ids[0, :4].tolist() == [101, 2417, 102, 0]
    assert (int(ids[1, 0]), int(ids[1, -1])) == (101, 102)


def test_the_large_preset_reads_with_the_vocabulary_that_minilm_kept():
    base, small = (VISION_LANGUAGE_PRESETS[f"vision_language_{name}"] for name in ("base", "small"))
    one, other = (json.loads(tokenizer_json(preset))["model"] for preset in (base, small))
    assert one == other


def test_the_tiny_one_knows_every_word_that_is_asked_or_said():
    texts = {*load_split("test").questions}
    for wording in WORDINGS:
        for colour, shape, size in zip(COLOURS, [*SHAPES] * 3, [*SIZES] * 3, strict=False):
            texts |= {
                wording.format(colour=colour, shape=shape, size=size, place=place)
                for row in PLACES
                for place in row
            }
    tokenizer = tokenizer_of(TINY)
    unknown = {text for text in texts if tokenizer.token_to_id("[UNK]") in tokenizer.encode(text).ids}
    assert unknown == set()


def test_a_folder_without_a_tokenizer_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected tokenizer\.json in .*, found none"):
        tokenizer_json(TINY, tmp_path)


def test_a_tokenizer_that_says_more_than_the_trunk_knows_is_refused():
    with pytest.raises(ValueError, match="expected a tokenizer of at most 64 tokens, got 30522"):
        tokenizer_json(TINY, minilm_folder())


def test_an_unknown_trunk_is_refused():
    words = Words("bert-tinny", 8, "cls")
    with pytest.raises(ValueError, match="did you mean 'bert-tiny'"):
        tokenizer_json(replace(TINY, words=words))
