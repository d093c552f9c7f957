"""Patches are drawn by relevance, and the same ones whoever else is in the batch."""

import numpy as np
import pytest

from serving.backends.generator.patches import draw, stream

IDS = np.array([2, 5, 6, 1, 0, 0])


def test_drawn_patches_are_different_sorted_and_inside_the_image():
    rng = np.random.default_rng(0)
    for _ in range(50):
        drawn = draw(rng.random(9), 4, rng.random(9))
        assert drawn.tolist() == sorted(set(drawn.tolist()))
        assert len(drawn) == 4
        assert 0 <= drawn.min() <= drawn.max() <= 8


def test_patches_are_drawn_as_often_as_they_are_relevant():
    rng = np.random.default_rng(0)
    heat = np.array([1.0, 2.0, 5.0])
    counts = np.bincount([draw(heat, 1, rng.random(3))[0] for _ in range(8_000)], minlength=3)
    np.testing.assert_allclose(counts / 8_000, [0.125, 0.25, 0.625], atol=0.02)


def test_a_map_of_zeros_and_one_with_too_few_values_are_no_traps():
    rng = np.random.default_rng(0)
    assert len(draw(np.zeros(9), 4, rng.random(9))) == 4
    one_hot = np.zeros(9)
    one_hot[4] = 3
    drawn = [draw(one_hot, 3, rng.random(9)) for _ in range(20)]
    assert all(4 in indices for indices in drawn)
    assert len({tuple(indices) for indices in drawn}) > 5


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1])
def test_a_map_that_is_no_map_is_refused(value):
    with pytest.raises(ValueError, match=r"relevance: expected finite numbers >= 0"):
        draw(np.array([1.0, value]), 1, np.array([0.5, 0.5]))


def test_the_numbers_come_from_the_question_and_the_models_seed():
    assert stream(0, IDS, 0).random() == stream(0, IDS.astype(np.int32), 0).random()
    assert stream(0, IDS, 0).random() == stream(0, np.append(IDS, [0, 0]), 0).random(), "padding says nothing"
    assert (
        len({stream(0, IDS, 0).random(), stream(1, IDS, 0).random(), stream(0, IDS[::-1], 0).random()}) == 3
    )


def test_a_relevance_that_differs_by_rounding_draws_the_same():
    rng = np.random.default_rng(3)
    for _ in range(100):
        heat, uniforms = rng.random(64), rng.random(64)
        noisy = heat * (1 + 1e-7 * rng.standard_normal(64))
        assert draw(heat, 24, uniforms).tolist() == draw(noisy, 24, uniforms).tolist()
