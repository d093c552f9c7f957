"""Pictures painted anew and texts about them: what they show and say is right."""

from __future__ import annotations

import numpy as np
import pytest

from training.easy_vqa import answer_names, load_split, question_kind
from training.easy_vqa_captions import COLOURS, describe
from training.visual_question_pictures import Painter, Scene, moved, place_of, scene_of
from training.visual_question_texts import ATTRIBUTES, THERE, Asker, answer_of, named, told

RED_CIRCLE = Scene("circle", "red", "small", "at the top")


@pytest.fixture(scope="module")
def data():
    return load_split("train").only(range(200))


@pytest.fixture(scope="module")
def painter(data):
    return Painter(data, grid=8)


@pytest.fixture(scope="module")
def asker(data):
    return Asker(load_split("train").questions)


def test_every_question_of_the_set_is_answered_as_the_set_answers_it(data, painter):
    names = answer_names()
    for question, answer, row in zip(data.questions, data.answers, data.rows, strict=True):
        assert answer_of(question, painter.scenes[row]) == names[answer]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("is there a red shape?", "yes"),
        ("is there not a red shape?", "no"),
        ("is no blue shape present?", "yes"),
        ("does the image contain a triangle?", "no"),
        ("what color is the circle?", "red"),
        ("what is the red shape?", "circle"),
        ("what is the blue shape?", None),
        ("what color is the triangle?", None),
    ],
)
def test_questions_about_a_red_circle(question, answer):
    assert answer_of(question, RED_CIRCLE) == answer


def test_a_question_names_a_colour_or_a_shape_or_nothing():
    assert named("what is the color of the triangle?") == {"shape": "triangle"}
    assert named("is there a teal shape in the image?") == {"colour": "teal"}
    assert named("what shape is present?") == {}


def test_pictures_as_shipped_are_described_as_they_measure(data, painter):
    painted = painter.plain([0, 5])
    assert np.array_equal(painted.pixels, data.images[[0, 5]])
    assert painted.scenes == tuple(scene_of(describe(data.images[row])) for row in (0, 5))


def test_what_is_painted_anew_is_what_the_words_say(painter):
    painter_alone = Painter(load_split("train").only(range(40)), 8, as_shipped=0.0)
    rng = np.random.default_rng(0)
    painted = painter_alone.draw(rng, 24)
    for pixels, scene, cells in zip(painted.pixels, painted.scenes, painted.cells, strict=True):
        near = np.abs(pixels.astype(int) - COLOURS[scene.colour]).max(axis=2) <= 2
        assert near.sum() >= 12  # noise of two levels at most
        rows, columns = np.nonzero(near)
        assert cells[rows // 8, columns // 8].all()
    assert len({scene.colour for scene in painted.scenes}) > 4


def test_one_seed_paints_one_batch(painter):
    one, other = (painter.draw(np.random.default_rng(3), 4) for _ in range(2))
    assert np.array_equal(one.pixels, other.pixels)
    assert one.scenes == other.scenes


def test_a_moved_shape_stays_whole():
    coverage = np.zeros((64, 64), np.float32)
    coverage[10:20, 30:40] = 1
    rng = np.random.default_rng(0)
    for _ in range(20):
        shifted = moved(rng, coverage)
        rows, columns = np.nonzero(shifted)
        assert shifted.sum() == 100
        assert np.ptp(rows) == np.ptp(columns) == 9


def test_a_shape_that_an_edge_cuts_stays_at_that_edge():
    coverage = np.zeros((64, 64), np.float32)
    coverage[54:64, 30:40] = 1
    for seed in range(10):
        assert moved(np.random.default_rng(seed), coverage)[54:64].sum() == 100


def test_places_are_ninths_of_the_picture():
    coverage = np.zeros((9, 9), np.float32)
    coverage[0, 8] = 1
    assert place_of(coverage) == "in the upper right"
    assert place_of(np.ones((9, 9), np.float32)) == "in the middle"


def test_three_of_ten_yes_no_questions_name_what_the_picture_has(asker):
    rng = np.random.default_rng(0)
    pairs = [asker.ask(rng, RED_CIRCLE) for _ in range(1000)]
    assert all(answer_of(question, RED_CIRCLE) == answer for question, answer in pairs)
    asked = [question for question, _ in pairs if question_kind(question) == "yes/no"]
    for kind, word in (("colour", "red"), ("shape", "circle")):
        there = [named(question)[kind] == word for question in asked if kind in named(question)]
        # standard error of a share of 0.3 over about 350: 0.024
        assert np.mean(there) == pytest.approx(THERE, abs=0.08)


def test_a_wrong_text_differs_from_the_right_one_in_one_thing(asker):
    rng = np.random.default_rng(0)
    vocabulary = {word: kind for kind, words in ATTRIBUTES.items() for word in words}
    for _ in range(200):
        good, bad = asker.pair(rng, RED_CIRCLE)
        assert good != bad
        kinds = [
            kind
            for word, kind in vocabulary.items()
            if (word in bad) and word not in RED_CIRCLE.words.values()
        ]
        assert len(set(kinds)) == 1


def test_captions_are_told_in_several_wordings_and_mostly_right():
    rng = np.random.default_rng(0)
    captions = told(rng, RED_CIRCLE, 400)
    assert len(set(captions)) > 5
    right = np.mean([{"red", "circle"} <= set(caption.split()) for caption in captions])
    # a tenth has a word drawn anew, which may be the same; standard error 0.014
    assert right == pytest.approx(0.92, abs=0.05)


def test_every_text_of_the_set_is_in_the_vocabulary(painter, asker):
    from multimodal.visual_question.tokenizer import words_tokenizer

    tokenizer = words_tokenizer()
    texts = {*asker.texts, *answer_names(), *(text for scene in painter.scenes for text in scene.captions)}
    for encoding in tokenizer.encode_batch(sorted(texts)):
        assert "[UNK]" not in encoding.tokens
