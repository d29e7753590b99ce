"""Functions of sets that perturb rows: which columns may change, and by which unit."""

import numpy as np

from .._utils.checks import option
from .._utils.powers import size_exponent
from ..problems.base import DecisionProblem
from ..rows import Rows

_COLUMNS = ("both", "features", "target")


def check_columns(columns: str) -> None:
    """Raise an error where the parameter `columns` is not valid."""
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


def with_noise(
    rows: Rows,
    scale: float,
    spread: list[np.ndarray],
    columns: str,
    problem: DecisionProblem,
    rng: np.random.Generator,
) -> tuple[Rows, float | None]:
    """Return rows with Gaussian noise in the columns that may change.

    Parameters
    ----------
    rows : Rows
    scale : float
        Of the noise, in units of `spread`.
    spread : list of ndarray
        Standard deviations of the columns of X and of y.
    columns : {"both", "features", "target"}
    problem : DecisionProblem
        Into whose domain y is put back.
    rng : numpy.random.Generator

    Returns
    -------
    rows : Rows
    projected_share : float or None
        Share of the parameters that were put back; None where they have no noise.
    """
    X, y, put_back = rows.X, rows.y, None
    # Both are always drawn, so that the noise of one does not depend on `columns`.
    noise = [rng.standard_normal(part.shape) for part in (X, y)]
    if columns != "target":
        X = X + (scale * spread[0] * noise[0]).astype(X.dtype)
    if columns != "features":
        y, put_back = problem.project_parameters(y + scale * spread[1] * noise[1])
    return rows.replace(X=X, y=y), put_back
