"""Multipliers that prove a point of a quadratic program best, where its vertex has many."""

import numpy as np
from scipy.optimize import nnls

_LEFT = 1e-9  # of the slope that no multipliers take up, as a share of its terms
_LEAST_SIZE = 1e-3  # of the terms of a slope, as a share of the largest
_MOST_ITERATIONS = 10  # for each constraint


def with_signs(
    slope: np.ndarray,
    size: np.ndarray,
    A: np.ndarray,
    G: np.ndarray,
    slacks: list[np.ndarray],
) -> list[np.ndarray] | None:
    """Return multipliers of the right signs that prove a point best.

    Non-negative least squares finds such multipliers wherever there are any.

    Parameters
    ----------
    slope : ndarray of shape (n,)
        Q z + c at the point.
    size : ndarray of shape (n,)
        Of the terms of the slope.
    A, G : ndarray of shape (p, n) and (m, n)
        Rows of length 1.
    slacks : list of ndarray of shape (n,), (n,) and (m,)
        Of lower bounds, upper bounds and inequalities, as shares of what they may be off by; at
        most 1 where they hold with equality.

    Returns
    -------
    list of ndarray of shape (n,), (n,), (m,) and (p,), or None
        Of lower bounds, upper bounds, inequalities and equations; those of the first three are
        not negative. None if there are none.
    """
    n = len(slope)
    lower, upper, rows = (np.flatnonzero(each <= 1.0) for each in slacks)
    unit = np.eye(n)
    size = np.maximum(size, _LEAST_SIZE * size.max()) if size.any() else np.ones(n)
    columns = np.concatenate([-unit[lower], unit[upper], G[rows], A, -A]).T / size[:, None]
    if not columns.shape[1] or not (np.isfinite(slope / size).all() and np.isfinite(columns).all()):
        return None
    most = _MOST_ITERATIONS * columns.shape[1]
    try:
        found, left = nnls(columns, -slope / size, maxiter=most)
    except RuntimeError:
        return None
    if left > _LEFT:
        return None
    parts = np.split(found, np.cumsum([len(lower), len(upper), len(rows), len(A)]))
    multipliers = [np.zeros(len(each)) for each in slacks]
    for into, index, values in zip(multipliers, (lower, upper, rows), parts, strict=False):
        into[index] = values
    return [*multipliers, parts[3] - parts[4]]
