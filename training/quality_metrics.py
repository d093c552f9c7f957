"""How well predicted quality agrees with the opinions it was to predict: PLCC, SRCC, KRCC and RMSE.

All in float64. A figure that does not exist (constant or non-finite values, fewer than two clips) is NaN, and
NaN is worse than anything.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares
from scipy.special import expit
from scipy.stats import kendalltau, pearsonr, spearmanr

Values = NDArray[np.float64]
TINY = 1e-12  # keeps a step from becoming a division by zero
FIT_STEPS = 500  # a straight line needs 40; a bend without an end creeps on for thousands and gains nothing


def _pair(predicted: ArrayLike, mos: ArrayLike) -> tuple[Values, Values]:
    """Both as vectors of float64; ValueError when their lengths differ."""
    left, right = (np.asarray(values, dtype=np.float64).reshape(-1) for values in (predicted, mos))
    if len(left) != len(right):
        raise ValueError(
            f"quality metrics: expected as many predictions as opinions, got {len(left)} and {len(right)}"
        )
    return left, right


def _comparable(predicted: Values, mos: Values) -> bool:
    """Whether a correlation of the two exists."""
    if len(predicted) < 2 or not (np.isfinite(predicted).all() and np.isfinite(mos).all()):
        return False
    return bool(np.ptp(predicted) > 0 and np.ptp(mos) > 0)


def plcc(predicted: ArrayLike, mos: ArrayLike) -> float:
    """Pearson's linear correlation of two (clips,), in [-1, 1], or NaN."""
    predicted, mos = _pair(predicted, mos)
    if not _comparable(predicted, mos):
        return math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy's "nearly constant": the value is given all the same
        return float(pearsonr(predicted, mos).statistic)


def srcc(predicted: ArrayLike, mos: ArrayLike) -> float:
    """Spearman's rank correlation of two (clips,), ties at their mean rank, in [-1, 1], or NaN."""
    predicted, mos = _pair(predicted, mos)
    return float(spearmanr(predicted, mos).statistic) if _comparable(predicted, mos) else math.nan


def krcc(predicted: ArrayLike, mos: ArrayLike) -> float:
    """Kendall's rank correlation (tau-b) of two (clips,), in [-1, 1], or NaN."""
    predicted, mos = _pair(predicted, mos)
    return float(kendalltau(predicted, mos).statistic) if _comparable(predicted, mos) else math.nan


def rmse(predicted: ArrayLike, mos: ArrayLike) -> float:
    """Root of the mean squared difference of two (clips,), or NaN."""
    predicted, mos = _pair(predicted, mos)
    if not len(predicted) or not (np.isfinite(predicted).all() and np.isfinite(mos).all()):
        return math.nan
    return float(np.sqrt(np.mean((predicted - mos) ** 2)))


def _logistic(curve: Values, predicted: Values) -> Values:
    high, low, middle, slope = curve
    return (high - low) * expit((predicted - middle) / max(abs(slope), TINY)) + low


def _slopes(curve: Values, predicted: Values) -> Values:
    """Derivatives of `_logistic` by its parameters, (clips, 4)."""
    high, low, middle, slope = curve
    steps = (predicted - middle) / max(abs(slope), TINY)
    share = expit(steps)
    by_middle = -(high - low) * share * (1 - share) / max(abs(slope), TINY)
    return np.stack([share, 1 - share, by_middle, by_middle * steps * np.sign(slope)], axis=1)


def map_to_opinions(predicted: ArrayLike, mos: ArrayLike) -> Values:
    """Predictions (clips,) on the scale of opinions, by the monotone logistic curve that fits them best.

    q' = (b1 - b2) / (1 + exp(-(q - b3) / |b4|)) + b2, least squares, begun at b1, b2 = the highest and lowest
    opinion, b3, b4 = mean and standard deviation of q. Where there is nothing to fit, or the fit gives no
    numbers, the predictions come back as they are. The best curve may fall: mapped figures do not tell a
    predictor from its opposite.
    """
    predicted, mos = _pair(predicted, mos)
    if len(predicted) < 4 or not _comparable(predicted, mos):  # a curve of four parameters
        return predicted
    start = (mos.max(), mos.min(), predicted.mean(), predicted.std())
    fit = least_squares(
        lambda curve: _logistic(curve, predicted) - mos,
        start,
        lambda curve: _slopes(curve, predicted),
        method="lm",
        x_scale="jac",
        max_nfev=FIT_STEPS,
    )
    mapped = _logistic(fit.x, predicted)
    return mapped if np.isfinite(mapped).all() else predicted


@dataclass(frozen=True)
class QualityReport:
    """Agreement over `clips` clips; mapped_*: after `map_to_opinions`, which leaves ranks alone."""

    plcc: float
    srcc: float
    krcc: float
    rmse: float
    mapped_plcc: float
    mapped_rmse: float
    clips: int

    def as_dict(self) -> dict[str, float]:
        """The same by name, for tables and files."""
        return dict(vars(self))


def judge_quality(predicted: ArrayLike, mos: ArrayLike) -> QualityReport:
    """All figures for predictions and opinions, (clips,) each."""
    predicted, mos = _pair(predicted, mos)
    mapped = map_to_opinions(predicted, mos)
    return QualityReport(
        plcc=plcc(predicted, mos),
        srcc=srcc(predicted, mos),
        krcc=krcc(predicted, mos),
        rmse=rmse(predicted, mos),
        mapped_plcc=plcc(mapped, mos),
        mapped_rmse=rmse(mapped, mos),
        clips=len(predicted),
    )


def is_better(new: float, best: float) -> bool:
    """Whether a figure, higher is better, beats the best so far; NaN never does, any number beats NaN."""
    return math.isfinite(new) and not new <= best


def within_group_order(scores: ArrayLike, groups: ArrayLike, ranks: ArrayLike) -> float:
    """Share of pairs of one group that the scores put in the right order, as for ladders of one clip.

    scores: (clips,); groups: (clips,) of anything that compares equal; ranks: (clips,), higher is better
    returns: in [0, 1] over pairs of different rank, equal or NaN scores count as wrong; NaN without any pair
    """
    scores, ranks = _pair(scores, ranks)
    groups = np.asarray(groups).reshape(-1)
    if len(groups) != len(scores):
        raise ValueError(f"order: expected a group for each of {len(scores)} clips, got {len(groups)}")
    right = pairs = 0
    for group in np.unique(groups):
        members = groups == group
        better = ranks[members][:, None] > ranks[members][None, :]
        higher = scores[members][:, None] > scores[members][None, :]
        pairs += int(better.sum())
        right += int((better & higher).sum())
    return right / pairs if pairs else math.nan
