"""Patches are drawn by relevance, and the same ones whoever else is in the batch."""

import numpy as np
import pytest

from serving.backends.generator.patches import draw, generator

IDS = np.array([2, 5, 6, 1, 0, 0])
MASK = np.array([1, 1, 1, 1, 0, 0])


def test_drawn_patches_are_different_sorted_and_inside_the_image():
    for seed in range(50):
        drawn = draw(np.random.default_rng(seed).random(9), 4, np.random.default_rng(seed))
        assert drawn.tolist() == sorted(set(drawn.tolist()))
        assert len(drawn) == 4
        assert 0 <= drawn.min() <= drawn.max() <= 8


def test_patches_are_drawn_as_often_as_they_are_relevant():
    rng = np.random.default_rng(0)
    counts = np.bincount([draw(np.array([1.0, 2.0, 5.0]), 1, rng)[0] for _ in range(8_000)], minlength=3)
    np.testing.assert_allclose(counts / 8_000, [0.125, 0.25, 0.625], atol=0.02)


def test_a_map_of_zeros_and_one_with_too_few_values_are_no_traps():
    assert len(draw(np.zeros(9), 4, np.random.default_rng(0))) == 4
    one_hot = np.zeros(9)
    one_hot[4] = 3
    drawn = [draw(one_hot, 3, np.random.default_rng(seed)) for seed in range(20)]
    assert all(4 in indices for indices in drawn)
    assert len({tuple(indices) for indices in drawn}) > 5


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1])
def test_a_map_that_is_no_map_is_refused(value):
    with pytest.raises(ValueError, match=r"relevance: expected finite numbers >= 0"):
        draw(np.array([1.0, value]), 1, np.random.default_rng(0))


def test_the_seed_is_the_question_its_padding_aside_and_the_turn():
    def first(ids, mask, *turn, seed=0):
        return generator(seed, ids, mask, *turn).random()

    assert first(IDS, MASK, 0, 1) == first(IDS, MASK, 0, 1)
    assert first(IDS, MASK, 0, 1) == first(IDS[:4], MASK[:4], 0, 1), "padding is no part of a question"
    others = [first(IDS, MASK, 1, 1), first(IDS, MASK, 0, 0), first(IDS + 1, MASK, 0, 1)]
    assert len({first(IDS, MASK, 0, 1), first(IDS, MASK, 0, 1, seed=1), *others}) == 5


def test_a_relevance_that_differs_by_rounding_draws_the_same():
    rng = np.random.default_rng(3)
    for seed in range(100):
        heat = rng.random(64)
        noisy = heat * (1 + 1e-7 * rng.standard_normal(64))
        drawn = [draw(one, 24, np.random.default_rng(seed)).tolist() for one in (heat, noisy)]
        assert drawn[0] == drawn[1]
