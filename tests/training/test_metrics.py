"""Metrics on numbers that can be checked by eye."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from multimodal.weld_classes import CLASS_NAMES
from training.metrics import (
    anomaly_by_neighbours,
    classify_by_neighbours,
    distance_to_good,
    judge_classes,
    judge_scores,
)
from training.pictures import draw_confusion


def test_accuracy_f1_and_confusion_of_four_answers() -> None:
    report = judge_classes(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]))
    assert report.accuracy == 0.75
    assert report.macro_f1 == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert report.weighted_f1 == pytest.approx((3 * 4 / 5 + 2 / 3) / 4)
    assert report.confusion.shape == (12, 12)
    assert report.confusion[:2, :2].tolist() == [[2, 1], [0, 1]]


def test_the_five_nearest_by_angle_vote() -> None:
    bank = np.array([[1, 0]] * 3 + [[1, 0.1]] * 2 + [[0, 9]] * 4, float)
    labels = np.array([2] * 3 + [4] * 2 + [4] * 4)
    report = classify_by_neighbours(bank, labels, np.array([[50.0, 0], [0, 0.1]]), np.array([2, 4]))
    assert (
        report.accuracy == 1.0
    )  # lengths do not count: (50, 0) is nearest to (1, 0), although there are more fours


def test_the_score_is_the_mean_cosine_distance_to_five_good_welds() -> None:
    good = np.array([[1, 0]] * 4 + [[0, 1]], float)
    assert distance_to_good(good, np.array([[2.0, 0]]))[0] == pytest.approx(1 / 5)
    assert distance_to_good(good, np.array([[-1.0, 0]]))[0] == pytest.approx((4 * 2 + 1) / 5)


def test_auroc_precision_and_threshold_of_five_scores() -> None:
    labels, scores = np.array([0, 0, 0, 3, 9]), np.array([0.1, 0.2, 0.6, 0.5, 0.9])
    report = judge_scores(labels, scores)
    assert report.auroc == pytest.approx(
        5 / 6
    )  # of six pairs Good/defect only 0.6 > 0.5 is the wrong way round
    assert report.average_precision == pytest.approx((1 + 2 / 3) / 2)
    assert report.per_defect_auroc == {"Porosity": pytest.approx(2 / 3), "Spatter": 1.0}
    assert report.threshold == 0.5


def test_defects_away_from_good_are_found_by_neighbours() -> None:
    good = np.tile([1.0, 0.0], (5, 1))
    report = anomaly_by_neighbours(
        good, np.array([[1, 0.1], [1, 0], [0, 1], [-1, 0]]), np.array([0, 0, 5, 6])
    )
    assert (report.auroc, report.threshold) == (1.0, pytest.approx(1.0))


def test_a_bank_too_small_and_a_set_of_one_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 5 Good entries, got 2"):
        distance_to_good(np.ones((2, 3)), np.ones((1, 3)))
    with pytest.raises(ValueError, match="got 2 defects in 2 runs"):
        judge_scores(np.array([1, 2]), np.array([0.1, 0.2]))


def test_reports_can_be_written_as_json() -> None:
    report = judge_classes(np.array([0]), np.array([0])).as_dict()
    assert set(report) == {"accuracy", "macro_f1", "weighted_f1", "confusion"}
    assert report["confusion"][0][0] == 1  # type: ignore[index]
    assert judge_scores(np.array([0, 1]), np.array([0.0, 1.0])).as_dict()["auroc"] == 1.0


def test_the_confusion_is_drawn_as_a_picture(tmp_path: Path) -> None:
    path = draw_confusion(
        np.eye(len(CLASS_NAMES), dtype=int), tmp_path / "new" / "confusion.png", "twelve runs"
    )
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 900


def test_counts_of_another_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected 12 x 12 counts"):
        draw_confusion(np.eye(3, dtype=int), tmp_path / "c.png")
