"""The loops of captions and answers, on decoders that are a table."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest

from multimodal.visual_question.generation import (
    Decoding,
    GenerationSettings,
    add_caption,
    draw_patches,
    greedy,
    padded,
    patch_chances,
    reader_contexts,
    repeated,
    sample_captions,
    sample_top_k,
    seed_of,
    softmax,
)

PAD, END = 0, 1
PLAIN = Decoding(prompt=(9,), end=END, pad=PAD, shortest=0, longest=3)
SETTINGS = GenerationSettings(
    caption=PLAIN,
    answer=PLAIN,
    reader=PLAIN,
    captions=3,
    patches=2,
    top_k=3,
    rounds=2,
    captions_per_context=2,
    reader_length=16,
    seed=0,
)


def saying(*lines: list[int], sure: float = 0.75):
    """A step that gives `sure` to the next token of each row's line, the rest evenly to nine others."""

    def step(tokens: np.ndarray) -> np.ndarray:
        place = tokens.shape[1] - 1
        chances = np.full((len(lines), 10), (1 - sure) / 9)
        for row, line in enumerate(lines):
            chances[row, (line + [END] * 9)[place]] = sure
        return np.log(chances)

    return step


def test_the_likeliest_tokens_are_taken_until_the_end():
    tokens, chances = greedy(saying([5, 6], [7]), 2, PLAIN)
    assert tokens[:, :2].tolist() == [[5, 6], [7, PAD]]
    assert chances == pytest.approx([0.75**3, 0.75**2])  # two words and the end; one and the end


def test_a_text_that_does_not_end_is_as_long_as_it_may_be():
    tokens, chances = greedy(saying([5, 6, 7, 8, 5]), 1, PLAIN)
    assert tokens.tolist() == [[5, 6, 7]]
    assert chances == pytest.approx([0.75**3])


def test_the_end_counts_right_behind_the_last_word():
    tokens, chances = greedy(saying([5, 6, 7]), 1, PLAIN)
    assert tokens.tolist() == [[5, 6, 7]]
    assert chances == pytest.approx([0.75**4])


def test_a_text_does_not_end_before_it_is_long_enough():
    tokens, _ = greedy(saying([END, END]), 1, replace(PLAIN, shortest=2))
    assert END not in tokens[0, :2]


def test_a_decoder_is_given_its_prompt_and_all_tokens_so_far():
    given = []

    def step(tokens: np.ndarray) -> np.ndarray:
        given.append(tokens.tolist())
        return saying([5])(tokens[:, 1:])

    greedy(step, 1, replace(PLAIN, prompt=(9, 8)))
    assert given == [[[9, 8]], [[9, 8, 5]]]


@pytest.mark.parametrize(("number", "token"), [(0.0, 7), (0.59, 7), (0.61, 8), (0.99, 8)])
def test_a_uniform_number_chooses_among_the_likeliest_by_their_share(number, token):
    logits = np.log(np.array([[0.01, 0.01, 0.03, 0.03, 0.03, 0.03, 0.03, 0.5, 1 / 3, 0.01]]))

    def step(tokens: np.ndarray) -> np.ndarray:
        return logits if tokens.shape[1] == 1 else saying([END])(tokens[:, :1])

    uniforms = np.full((1, 4), number)
    assert sample_top_k(step, uniforms, PLAIN, top_k=2)[0, 0] == token  # shares 0.6 and 0.4


def test_with_one_candidate_sampling_is_greedy():
    uniforms = np.random.default_rng(0).random((2, 4))
    drawn = sample_top_k(saying([5, 6], [7]), uniforms, PLAIN, top_k=1)
    assert drawn.tolist() == greedy(saying([5, 6], [7]), 2, PLAIN)[0].tolist()


def test_chances_of_patches_are_positive_and_sum_to_one_even_without_any_heat():
    for relevance in ([0, 0, 0, 0], [0, 3, 0, 1]):
        chances = patch_chances(np.array(relevance, np.float32))
        assert (chances > 0).all()
        assert chances.sum() == pytest.approx(1)
    assert chances.argmax() == 1


def test_drawn_patches_are_different_sorted_and_leave_the_class_token_out():
    rng = np.random.default_rng(0)
    for _ in range(50):
        places = draw_patches(rng.random(16), 6, rng.random(16))
        assert len(set(places.tolist())) == 6
        assert places.tolist() == sorted(places.tolist())
        assert places.min() >= 1
        assert places.max() <= 16


def test_fewer_hot_patches_than_are_drawn_are_all_drawn():
    relevance = np.zeros(16)
    relevance[[3, 9]] = 1.0
    places = draw_patches(relevance, 4, np.random.default_rng(0).random(16))
    assert {4, 10} <= set(places.tolist())


def test_patches_are_drawn_as_often_as_they_are_relevant():
    rng = np.random.default_rng(0)
    drawn = [draw_patches(np.array([1.0, 3.0]), 1, rng.random(2))[0] for _ in range(2000)]
    # standard error of a share of 3/4 over 2,000 draws: 0.01
    assert np.mean(np.array(drawn) == 2) == pytest.approx(0.75, abs=0.04)


def test_all_patches_are_drawn_where_as_many_are_asked_for():
    assert draw_patches(np.zeros(4), 4, np.random.default_rng(0).random(4)).tolist() == [1, 2, 3, 4]


def test_a_caption_within_another_counts_as_none():
    found: list[str] = []
    for caption in ("a red circle", "red circle", "", "a red circle", "a large red circle"):
        add_caption(found, caption)
    assert found == ["a red circle", "a large red circle"]


def test_too_few_captions_are_repeated():
    assert repeated(["a", "b"], 5) == ["a", "b", "a", "b", "a"]
    assert repeated([], 2) == ["", ""]


def captioner_of(lines: list[list[int]], asked: list[int]):
    """A step for some rows that says one line after the other, whatever it is shown."""

    def step_of(rows: np.ndarray, places: np.ndarray):
        assert places.shape == (len(rows), SETTINGS.patches)
        asked.append(len(rows))
        return saying(*[lines[place % len(lines)] for place in range(len(rows))], sure=0.9999)

    return step_of


def words(tokens) -> str:
    return " ".join(map(str, tokens))


def test_rounds_end_when_there_are_enough_captions():
    asked: list[int] = []
    told = sample_captions(
        captioner_of([[5], [6], [7]], asked), np.ones((2, 4)), np.ones((2, 3), np.int64), SETTINGS, words
    )
    assert told == [["5", "6", "7"]] * 2
    assert asked == [6]  # one round: three captions for each of two rows


def test_a_captioner_that_says_one_thing_only_is_not_asked_for_ever():
    asked: list[int] = []
    told = sample_captions(
        captioner_of([[5]], asked), np.ones((1, 4)), np.ones((1, 3), np.int64), SETTINGS, words
    )
    assert told == [["5", "5", "5"]]
    assert asked == [3, 3]  # two rounds, as many as there may be


def test_a_question_has_a_seed_of_its_own_wherever_it_is_asked():
    ids = np.array([2, 41, 3, 0])
    assert seed_of(ids, 0, 0) == seed_of(ids.astype(np.int32), 0, 0) == seed_of(np.stack([ids, ids])[1], 0, 0)
    assert seed_of(ids, 0, 0) == seed_of(ids[:3], 0, 0), "a longer question in the batch says nothing"
    assert len({seed_of(ids, 0, 0), seed_of(ids, 1, 0), seed_of(ids + 1, 0, 0)}) == 3


def test_the_reader_is_given_question_and_captions_as_unifiedqa_was_taught():
    contexts = reader_contexts("Is it Red? ", ["A circle", "red", "round"], 2)
    assert contexts == [r"is it red \n a circle. red.", r"is it red \n round."]


def test_rows_are_filled_to_the_longest_and_cut_ones_keep_their_end():
    ids, mask = padded([[2, 5, 3], [2, 5, 6, 7, 8, 3]], pad=0, longest=5)
    assert ids.tolist() == [[2, 5, 3, 0, 0], [2, 5, 6, 7, 3]]
    assert mask.tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]


def test_softmax_takes_numbers_of_any_size():
    assert softmax(np.array([[1e4, 1e4, -1e4]])).tolist() == [[0.5, 0.5, 0.0]]


def test_settings_come_back_from_plain_values():
    values = asdict(SETTINGS)
    values["caption"]["prompt"] = list(values["caption"]["prompt"])  # as JSON has it
    assert GenerationSettings.from_dict(values) == SETTINGS


def test_settings_with_a_key_too_few_are_refused():
    values = asdict(SETTINGS)
    del values["top_k"]
    with pytest.raises(ValueError, match=r"wrong: \['top_k'\]"):
        GenerationSettings.from_dict(values)


@pytest.mark.parametrize("module", ["generation", "presets"])
def test_presets_and_loops_need_neither_torch_nor_transformers(module):
    loaded = "{'torch', 'transformers'} & set(sys.modules)"
    code = f"import sys, multimodal.visual_question.{module}; print({loaded})"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"
