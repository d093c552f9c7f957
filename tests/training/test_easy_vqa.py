import functools
import importlib.util
from collections import Counter

import numpy as np
import pytest

from training.easy_vqa import answer_names, load_split, package_folder, question_kind, split_off
from training.easy_vqa_captions import (
    COLOURS,
    SHAPES,
    SIZES,
    cells_of,
    describe,
    describe_all,
    with_neighbours,
)

loaded = functools.cache(load_split)


@pytest.fixture(scope="module", params=["train", "test"])
def split(request):
    return loaded(request.param)


@pytest.fixture(scope="module")
def depicted(split):
    return describe_all(split.images)


def a_picture(paint, rows, columns):
    image = np.full((64, 64, 3), (240, 250, 235), np.uint8)
    image[rows, columns] = paint
    return image


def test_the_official_splits_are_complete():
    train, test = loaded("train"), loaded("test")
    assert (len(train.images), len(train.questions)) == (4000, 38_575)
    assert (len(test.images), len(test.questions)) == (1000, 9_673)
    assert train.images.shape[1:] == (64, 64, 3)
    assert train.images.dtype == np.uint8
    assert len(answer_names()) == 13
    assert set(train.answers) == set(test.answers) == set(range(13))


def test_no_picture_of_one_split_is_in_the_other():
    train, test = ({image.tobytes() for image in loaded(name).images} for name in ("train", "test"))
    assert not train & test


def test_a_picture_to_choose_by_is_not_learned_from():
    train = loaded("train")
    learn, choose = split_off(train, 0.1, seed=0)
    assert (len(learn.images), len(choose.images)) == (3600, 400)
    assert not set(learn.image_ids) & set(choose.image_ids)
    assert len(learn.questions) + len(choose.questions) == len(train.questions)
    assert np.array_equal(choose.image_ids, split_off(train, 0.1, seed=0)[1].image_ids)
    assert not np.array_equal(choose.image_ids, split_off(train, 0.1, seed=1)[1].image_ids)


def test_questions_follow_their_picture_into_a_part(split):
    part = split.only([7, 3])
    asked = {
        (image_id, question)
        for image_id, question in zip(part.image_ids[part.rows], part.questions, strict=True)
    }
    wanted = {
        (image_id, question)
        for image_id, question in zip(split.image_ids[split.rows], split.questions, strict=True)
        if image_id in (split.image_ids[3], split.image_ids[7])
    }
    assert asked == wanted
    assert np.array_equal(part.images[0], split.images[7])


def test_every_so_manyth_question_brings_its_pictures_along(split):
    part = split.every(50)
    assert part.questions == split.questions[::50]
    assert np.array_equal(part.answers, split.answers[::50])
    assert np.array_equal(part.image_ids[part.rows], split.image_ids[split.rows[::50]])
    assert np.array_equal(part.images[part.rows[3]], split.images[split.rows[150]])
    assert set(part.rows) == set(range(len(part.pictures)))
    with pytest.raises(ValueError, match="got every 0"):
        split.every(0)


def test_the_kind_of_a_question_agrees_with_its_answer(split):
    names = answer_names()
    of = {"yes/no": {"yes", "no"}, "shape": set(SHAPES), "colour": set(COLOURS)}
    given = {kind: set() for kind in of}
    for kind, answer in zip(split.kinds, split.answers, strict=True):
        given[kind].add(names[answer])
    assert given == of
    assert question_kind("what is the color of the circle?") == "colour"
    assert question_kind("what is the blue shape?") == "shape"
    assert question_kind("is no circle present?") == "yes/no"


def the_answer(question, depicted):
    """Answer a shipped question from what was measured: nothing of the picture's own answers is used."""
    kind = question_kind(question)
    if kind != "yes/no":
        return depicted.shape if kind == "shape" else depicted.colour
    words = question.strip("?").split()
    shown = bool({depicted.shape, depicted.colour} & set(words))
    denied = bool({"no", "not"} & set(words))
    return "yes" if shown != denied else "no"


def test_measured_shape_and_colour_answer_every_question_as_the_package_does(split, depicted):
    names = answer_names()
    wrong = [
        (question, names[answer])
        for question, answer, row in zip(split.questions, split.answers, split.rows, strict=True)
        if the_answer(question, depicted[row]) != names[answer]
    ]
    assert wrong == []


def test_no_picture_lies_near_the_bound_between_two_shapes(depicted):
    compactness = np.array([picture.compactness for picture in depicted])
    for bound, room in ((0.89, 0.05), (0.974, 0.01)):
        assert np.abs(compactness - bound).min() > room


def test_every_size_and_place_occurs_often(depicted):
    sizes = Counter(picture.size for picture in depicted)
    places = Counter(picture.place for picture in depicted)
    assert set(sizes) == set(SIZES)
    assert min(sizes.values()) > 0.2 * len(depicted)
    assert len(places) == 9
    assert min(places.values()) > 0.04 * len(depicted)


def test_a_painted_square_is_described_as_it_was_painted():
    picture = describe(a_picture((0, 0, 255), slice(2, 14), slice(50, 62)))
    assert picture.caption == "a small blue rectangle in the upper right"
    assert picture.area == pytest.approx(144 / 4096)
    assert picture.mask.sum() == 144
    assert picture.captions[3] == "the rectangle is blue"


def test_a_picture_mostly_covered_by_its_shape_keeps_its_ground():
    picture = describe(a_picture((255, 0, 0), slice(0, 60), slice(0, 60)))
    assert (picture.size, picture.mask.sum()) == ("large", 3600)


def test_a_photo_that_is_none_of_these_is_refused():
    with pytest.raises(ValueError, match="no pixel has such a colour; give a picture of easy-VQA"):
        describe(np.full((64, 64, 3), 77, np.uint8))


def test_the_cells_of_a_square_are_the_ones_it_touches():
    mask = np.zeros((64, 64), bool)
    mask[8:17, 24:32] = True  # rows 8..16 reach one pixel into the third row of cells of 8
    expected = np.zeros((8, 8), bool)
    expected[1:3, 3] = True
    assert np.array_equal(cells_of(mask, 8), expected)
    around = with_neighbours(expected)
    assert around.sum() == 4 * 3
    assert around[0:4, 2:5].all()


def test_a_grid_that_does_not_divide_the_picture_shares_its_pixels():
    mask = np.zeros((64, 64), bool)
    mask[9, 9] = True  # 64 / 7 = 9.14: pixel 9 spans 9..10 and touches cells 0 and 1
    assert np.argwhere(cells_of(mask, 7)).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    corner = np.zeros((2, 2), bool)
    corner[0, 0] = True
    assert with_neighbours(corner).all()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install easy-vqa"):
        package_folder()


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="expected a split of train, test, got 'choose'"):
        load_split("choose")


def test_a_share_is_a_part():
    with pytest.raises(ValueError, match="expected a share between 0 and 1, got 1"):
        split_off(load_split("test"), 1)
