"""Conformal quantiles: bounds of the score of one more exchangeable row."""

import math
import sys
from bisect import bisect_left
from fractions import Fraction

import numpy as np

_DIGITS = 53  # of a float, in bits


def rows_needed(confidence_level: float) -> int:
    """Return the least number of calibration rows for which the quantile is finite."""
    level = exact_level(confidence_level)
    return max(1, math.ceil(level / (1 - level)))


def exact_level(confidence_level: float) -> Fraction:
    """Return a level as the decimal that was written, 0.9 as nine tenths.

    The nearest float may need one row more where the rank is an integer.
    """
    return Fraction(repr(float(confidence_level)))


def conformal_quantile(scores: np.ndarray, weight: np.ndarray, confidence_level: float) -> float:
    r"""Return the least score whose rank is at least ``confidence_level * (n + 1)``.

    Of n exchangeable scores and one more, that one exceeds it with probability
    ``1 - confidence_level`` at most. It is infinite where n is too small.

    Parameters
    ----------
    scores : ndarray of shape (n,)
    weight : ndarray of shape (n,)
        How often each row counts, positive. The new row counts once.
    confidence_level : float

    References
    ----------
    Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005.
    """
    order = np.argsort(scores, kind="stable")
    whole, unit = _whole_numbers(weight)
    rank = np.cumsum(whole[order]).tolist()
    if not rank:
        return math.inf
    wanted = exact_level(confidence_level) * (rank[-1] + 1 / unit)
    place = bisect_left(rank, wanted)
    return float(scores[order[place]]) if place < len(rank) else math.inf


class WeightedQuantile:
    r"""The conformal quantile of weighted scores, which depends on the weight of the new row.

    With the weights :math:`w_i` of the scores :math:`s_i`, and the new row of weight w at infinity,
    it is the least score s with

    .. math:: \sum_{s_i \le s} w_i \ge (1 - \alpha) \big(\sum_i w_i + w\big)

    and infinite where there is none. Each score is therefore the quantile up to some weight of the
    new row; these weights are stored. All sums are exact, so that the result does not depend on the
    order of the rows or the unit of equal weights.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        Scores; an infinite one is never a quantile.
    count : ndarray of shape (n,)
        How often each row counts, positive.
    weight : ndarray of shape (n,)
        The weight of each row, with a positive sum.
    confidence_level : float
        :math:`1 - \alpha`.

    Attributes
    ----------
    scores : ndarray of shape (k,)
        Scores that are the quantile for some new row, in ascending order.
    up_to : ndarray of shape (k,)
        The largest weight of a new row for which each score is the quantile.

    References
    ----------
    Tibshirani, Barber, Candes and Ramdas, "Conformal prediction under covariate shift", NeurIPS
    2019, lemma 3.
    """

    def __init__(
        self, scores: np.ndarray, count: np.ndarray, weight: np.ndarray, confidence_level: float
    ) -> None:
        order = np.argsort(scores, kind="stable")
        (counts, one), (weights, other) = _whole_numbers(count), _whole_numbers(weight)
        rank, scores = np.cumsum((counts * weights)[order]), scores[order]
        level = exact_level(confidence_level)
        beyond = rank * level.denominator - rank[-1] * level.numerator
        is_last = np.append(scores[1:] > scores[:-1], True)  # of equal ones
        kept = np.flatnonzero(is_last & (beyond >= 0) & np.isfinite(scores))
        unit = one * other / level.numerator
        self.scores = scores[kept]
        self.up_to = np.array([_rounded_down(each * unit) for each in beyond[kept]], dtype=float)

    @property
    def lowest(self) -> float:
        """The quantile for a new row of weight 0."""
        return float(self.scores[0]) if len(self.scores) else math.inf

    @property
    def largest_weight(self) -> float:
        """The largest weight of a new row that has a finite quantile."""
        return float(self.up_to[-1]) if len(self.up_to) else -math.inf

    def __call__(self, weight: np.ndarray) -> np.ndarray:
        """Return the quantiles (m,) for new rows of these weights (m,)."""
        return np.append(self.scores, math.inf)[np.searchsorted(self.up_to, weight)]


def _whole_numbers(weight: np.ndarray) -> tuple[np.ndarray, Fraction]:
    """Return weights as Python integers, and the unit of which they are multiples."""
    digits, exponent = np.frexp(weight)
    least = int(exponent[weight > 0].min(initial=0))
    shifts = np.where(weight > 0, exponent - least, 0)
    whole = np.empty(len(weight), dtype=object)
    whole[:] = [
        int(digit) << int(shift)
        for digit, shift in zip(np.ldexp(digits, _DIGITS), shifts, strict=True)
    ]
    return whole, Fraction(2) ** (least - _DIGITS)


def _rounded_down(value: Fraction) -> float:
    """Return the largest float that does not exceed a value."""
    try:
        found = float(value)
    except OverflowError:
        return sys.float_info.max
    return found if Fraction(found) <= value else math.nextafter(found, -math.inf)
