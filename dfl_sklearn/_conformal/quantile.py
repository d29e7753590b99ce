"""The conformal quantile: what the score of one more exchangeable row does not exceed."""

import math
from fractions import Fraction

import numpy as np


def rows_needed(confidence_level: float) -> int:
    """Return the least number of calibration rows for a level: its quantile is finite then."""
    level = exact_level(confidence_level)
    return max(1, math.ceil(level / (1 - level)))


def exact_level(confidence_level: float) -> Fraction:
    """Return a level as the decimal that was written, 0.9 as nine tenths.

    The float below it would ask for one row more wherever the rank is a whole number.
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
        How often each row counts, positive. The row to come counts once.
    confidence_level : float

    References
    ----------
    Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005.
    """
    order = np.lexsort((weight, scores))  # a sum that does not depend on the order of rows
    rank = np.cumsum(weight[order])
    total = Fraction(float(rank[-1])) if len(rank) else Fraction(0)
    wanted = float(exact_level(confidence_level) * (total + 1))
    place = int(np.searchsorted(rank, wanted))
    return float(scores[order[place]]) if place < len(rank) else math.inf
