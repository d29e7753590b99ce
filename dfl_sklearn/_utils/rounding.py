"""Distinguish a regret from the rounding errors of the costs whose difference it is."""

import numpy as np

_ROUNDING = 1e-12


def real_difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the differences of two arrays, 0 where they are no larger than rounding errors."""
    found = one - other
    return np.where(np.abs(found) <= _ROUNDING * (np.abs(one) + np.abs(other)), 0.0, found)


def is_rounding(regret: float, *costs: np.ndarray, weight: np.ndarray) -> bool:
    """Return whether a mean regret is no larger than rounding errors of the rows' costs.

    Parameters
    ----------
    regret : float
        The mean over rows of a difference of costs.
    *costs : ndarray of shape (n,)
        The costs whose difference is the regret.
    weight : ndarray of shape (n,)
        Weights of the rows.
    """
    size = sum(float(np.average(np.abs(each), weights=weight)) for each in costs)
    return abs(regret) <= _ROUNDING * size
