"""Captions: different ones as long as the rounds last, then repeats; contexts of them for the reader."""

import numpy as np
import pytest

from serving.backends.generator.captions import Scene, add, caption, repeated
from serving.backends.generator.reading import contexts, padded, side_by_side
from serving.backends.generator.settings import from_json

from .small_generator import END, SETTINGS

VOCABULARY = 13


def settings(**changes):
    return from_json(SETTINGS | changes)


def scene(seed=0):
    rng = np.random.default_rng(seed)
    ids = rng.integers(3, VOCABULARY, 5)
    return Scene(rng.normal(size=(10, 4)), rng.random(9), ids)


def always(token):
    """A decoder that says one word, then the end."""

    def decode(input_ids, states):
        logits = np.zeros((len(input_ids), VOCABULARY))
        logits[:, END if input_ids.shape[1] > 2 else token] = 99
        return logits

    return decode


def spelled(tokens):
    return " ".join(map(str, tokens))


def test_a_decoder_that_always_says_the_same_ends_in_repeats_after_its_rounds():
    asked = []

    def decode(input_ids, states):
        asked.append(len(input_ids))
        return always(5)(input_ids, states)

    assert caption([scene()], decode, spelled, settings()) == [["5", "5", "5"]]
    assert asked == [3, 3] * 4, "four rounds of three captions, a word and an end each"


def test_a_decoder_that_says_nothing_gives_empty_captions():
    assert caption([scene()], always(END), lambda tokens: "", settings()) == [["", "", ""]]


def test_scenes_that_have_enough_are_not_asked_again():
    asked = []

    def decode(input_ids, states):
        asked.append(len(input_ids))
        logits = always(5)(input_ids, states)
        first = input_ids.shape[1] == 2
        if first and len(asked) == 1:  # of the first scene all three differ at once
            logits[:3] = 99 * np.eye(VOCABULARY)[[6, 7, 8]]
        return logits

    found = caption([scene(0), scene(1)], decode, spelled, settings(rounds=2))
    assert found == [["6", "7", "8"], ["5", "5", "5"]]
    assert asked == [6, 6, 3, 3]


def test_captions_see_only_the_patches_that_were_drawn_and_never_the_first_token():
    seen = []

    def decode(input_ids, states):
        seen.append(states)
        return always(5)(input_ids, states)

    one = scene()
    caption([one], decode, spelled, settings(rounds=1))
    assert seen[0].shape == (3, 2, 4)
    for source in seen[0].reshape(-1, 4):
        assert any((source == token).all() for token in one.tokens[1:])
        assert not (source == one.tokens[0]).all()


@pytest.mark.parametrize(
    ("texts", "kept"),
    [
        (["a red circle", "a red circle"], ["a red circle"]),
        (["a red circle", "red"], ["a red circle"]),
        (["red", "a red circle"], ["red", "a red circle"]),
        (["", "red", "blue"], ["red", "blue"]),
    ],
)
def test_what_is_part_of_another_is_dropped(texts, kept):
    found = []
    for text in texts:
        add(found, text)
    assert found == kept


def test_repeats_go_on_in_order_and_more_than_are_wanted_are_left_out():
    assert repeated(["x", "y"], 5) == ["x", "y", "x", "y", "x"]
    assert repeated(["x", "y", "z"], 2) == ["x", "y"]


def test_a_context_is_the_question_and_some_captions_in_lower_case():
    told = contexts("Is it red? ", ["A circle", "red", "blue"], 2)
    assert told == ["is it red \\n a circle. red.", "is it red \\n blue."]
    assert contexts("is it {red}", ["", ""], 2) == ["is it {red} \\n . ."]


def test_texts_are_padded_to_the_longest_and_their_states_lie_side_by_side():
    input_ids, mask = padded([[5, 6], [7, 8, 1, 1, 9], [4], [3]], pad=0, longest=3)
    assert input_ids.tolist() == [[5, 6, 0], [7, 8, 9], [4, 0, 0], [3, 0, 0]]
    assert mask.sum(axis=1).tolist() == [2, 3, 1, 1]
    states, seen = side_by_side(input_ids[:, :, None], mask, texts=2)
    assert states[:, :, 0].tolist() == [[5, 6, 0, 7, 8, 9], [4, 0, 0, 3, 0, 0]]
    assert seen.tolist() == [[1, 1, 0, 1, 1, 1], [1, 0, 0, 1, 0, 0]]
