"""Telling a regret from the rounding errors of the costs that it is a difference of."""

import numpy as np

_ROUNDING = 1e-12


def is_rounding(regret: float, *costs: np.ndarray, weight: np.ndarray) -> bool:
    """Return whether a mean regret is no more than rounding beside the costs of the rows.

    Parameters
    ----------
    regret : float
        The mean over rows of a difference of costs.
    *costs : ndarray of shape (n,)
        These costs.
    weight : ndarray of shape (n,)
        Weights of the rows.
    """
    size = sum(float(np.average(np.abs(each), weights=weight)) for each in costs)
    return abs(regret) <= _ROUNDING * size
