"""Figures of agreement against numbers that can be worked out by hand, and NaN where there are none."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training.quality_metrics import (
    is_better,
    judge_quality,
    krcc,
    map_to_opinions,
    plcc,
    rmse,
    srcc,
    within_group_order,
)

FIGURES = ("plcc", "srcc", "krcc", "rmse")


def test_one_swapped_pair_of_four():
    report = judge_quality([1, 2, 3, 4], [1, 3, 2, 4])
    assert report.plcc == pytest.approx(0.8)
    assert report.srcc == pytest.approx(0.8)
    assert report.krcc == pytest.approx(4 / 6)  # 5 of 6 pairs right, 1 wrong
    assert report.rmse == pytest.approx(math.sqrt(0.5))
    assert report.clips == 4


def test_tied_predictions():
    predicted, mos = [0.2, 0.9, 0.4, 0.4, 0.7], [30, 80, 50, 40, 70]
    assert plcc(predicted, mos) == pytest.approx(0.98190, abs=5e-6)
    assert srcc(predicted, mos) == pytest.approx(0.97468, abs=5e-6)
    assert krcc(predicted, mos) == pytest.approx(0.94868, abs=5e-6)  # 9 / sqrt(9 * 10), the tau-b correction


@pytest.mark.parametrize(
    ("predicted", "mos"),
    [
        ([1, 1, 1], [1, 2, 3]),
        ([1, 2, 3], [2, 2, 2]),
        ([1, math.nan, 3], [1, 2, 3]),
        ([1, 2, math.inf], [1, 2, 3]),
        ([1, 2, 3], [1, 2, math.nan]),
        ([1], [2]),
        ([], []),
    ],
)
def test_a_correlation_that_does_not_exist_is_nan_without_a_warning(predicted, mos):
    report = judge_quality(predicted, mos)
    assert all(math.isnan(value) for value in (report.plcc, report.srcc, report.krcc, report.mapped_plcc))


def test_an_error_exists_for_constants_and_not_for_what_is_no_number():
    assert rmse([1, 1, 1], [1, 2, 3]) == pytest.approx(math.sqrt(5 / 3))
    assert math.isnan(rmse([1, math.nan], [1, 2]))
    assert math.isnan(rmse([], []))


def test_columns_count_as_vectors_and_do_not_broadcast():
    assert rmse(np.array([[0.0], [1.0]]), np.array([0.0, 1.0])) == 0


def test_single_precision_is_judged_in_double():
    mos = np.linspace(0, 1, 50, dtype=np.float32)
    assert rmse(mos + np.float32(1000), mos) == pytest.approx(1000, rel=1e-7)
    assert plcc(1e6 + mos.astype(np.float64), mos) == pytest.approx(1, abs=1e-9)


def test_other_numbers_of_predictions_and_opinions_are_refused_in_a_sentence():
    with pytest.raises(ValueError, match="as many predictions as opinions, got 2 and 3"):
        judge_quality([1, 2], [1, 2, 3])


def test_the_logistic_curve_undoes_a_logistic_distortion():
    predicted = np.linspace(-2, 2, 30)
    mos = (90 - 10) / (1 + np.exp(-(predicted - 0.3) / 0.4)) + 10
    np.testing.assert_allclose(map_to_opinions(predicted, mos), mos, atol=1e-3)
    report = judge_quality(predicted, mos)
    assert report.plcc < 0.98
    assert report.mapped_plcc == pytest.approx(1, abs=1e-6)
    assert report.mapped_rmse == pytest.approx(0, abs=1e-3)


def test_the_curve_is_monotone_and_leaves_ranks_alone():
    generator = np.random.default_rng(0)
    mos = generator.uniform(0, 100, 40)
    predicted = mos / 20 + generator.normal(0, 1, 40)
    mapped = map_to_opinions(predicted, mos)
    assert (np.diff(mapped[np.argsort(predicted)]) >= 0).all()
    assert srcc(mapped, mos) == pytest.approx(srcc(predicted, mos))


@pytest.mark.parametrize(("predicted", "mos"), [([1, 2, 4], [1, 2, 3]), ([2, 2, 2, 2, 2], [1, 2, 3, 4, 5])])
def test_where_nothing_can_be_fitted_predictions_stay_as_they_are(predicted, mos):
    assert map_to_opinions(predicted, mos).tolist() == predicted


def test_a_report_names_every_figure():
    assert set(judge_quality([1, 2, 3, 4], [1, 3, 2, 4]).as_dict()) == {
        *FIGURES,
        "mapped_plcc",
        "mapped_rmse",
        "clips",
    }


@pytest.mark.parametrize(
    ("new", "best", "better"),
    [
        (0.5, 0.4, True),
        (0.4, 0.5, False),
        (0.5, 0.5, False),
        (-0.9, math.nan, True),
        (math.nan, -0.9, False),
        (math.nan, math.nan, False),
        (math.inf, 0.5, False),
    ],
)
def test_nan_is_worse_than_anything(new, best, better):
    assert is_better(new, best) is better


# Ladders: clips of one source in a known order.


def test_order_is_counted_within_groups_only():
    scores = [10, 20, 30, 3, 2, 1]
    groups = ["a", "a", "a", "b", "b", "b"]
    assert within_group_order(scores, groups, [1, 2, 3, 1, 2, 3]) == 0.5  # 3 pairs right, 3 wrong


def test_equal_scores_and_nan_are_wrong_and_equal_ranks_no_pair():
    assert within_group_order([1, 1], [0, 0], [1, 2]) == 0
    assert within_group_order([1, math.nan], [0, 0], [1, 2]) == 0
    assert within_group_order([1, 5, 2], [0, 0, 0], [1, 1, 2]) == 0.5


def test_a_group_of_one_has_no_order():
    assert math.isnan(within_group_order([1, 2], [0, 1], [1, 2]))


def test_clips_without_a_group_are_refused_in_a_sentence():
    with pytest.raises(ValueError, match="a group for each of 2 clips, got 1"):
        within_group_order([1, 2], [0], [1, 2])
