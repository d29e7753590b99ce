"""Distinguish a regret from the rounding errors of the costs whose difference it is."""

import numpy as np

from .powers import size_exponent

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


def mean_and_spread(values: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weighted means (k,) and standard deviations of columns, 0 for constant ones.

    A column that varies only by rounding is constant: to divide by its spread would amplify noise.

    Parameters
    ----------
    values : ndarray of shape (n, k)
    weight : ndarray of shape (n,)
    """
    exponent = size_exponent(values)
    near_one = np.ldexp(values, -exponent)
    mean = np.average(near_one, axis=0, weights=weight)
    spread = np.sqrt(np.average((near_one - mean) ** 2, axis=0, weights=weight))
    constant = (values == values[0]).all(axis=0) | (spread <= 1e-14 * np.abs(mean))
    mean = np.where(constant, values[0], np.ldexp(mean, exponent))  # means have rounding errors
    return mean, np.where(constant, 0.0, np.ldexp(spread, exponent))
