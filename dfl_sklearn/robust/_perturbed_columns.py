"""What sets that perturb rows have in common: which columns may change, and in which unit."""

import numpy as np

from .._utils.checks import option
from .._utils.powers import size_exponent

_COLUMNS = ("both", "features", "target")


def check_columns(columns: str) -> None:
    """Raise where the parameter `columns` names none."""
    option(columns, "columns", _COLUMNS)


def deviation(values: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each column, 0 where it varies by rounding alone.

    Weights sum to 1.
    """
    exponent = size_exponent(values)
    values = np.ldexp(values, -exponent)
    mean = share @ values
    found = np.sqrt(share @ (values - mean) ** 2)
    constant = (values == values[0]).all(axis=0) | (found <= 1e-14 * np.abs(mean))
    return np.ldexp(np.where(constant, 0.0, found), exponent)
