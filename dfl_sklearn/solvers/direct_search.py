"""Derivative-free minimisation over a box, for many small problems at once."""

from collections.abc import Callable

import numpy as np
from scipy.stats import qmc

_N_BASES = 4  # random ones per round and dimension, beside the axes
_MAX_RESTARTS = 12  # a search that stalled on a ridge goes on from there with long steps
Objective = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Maps the numbers of some rows (r,) and candidates (r, c, k) in the unit box to costs (r, c)."""


def descend_by_patterns(
    objective: Objective, rows: np.ndarray, z: np.ndarray, best: np.ndarray, tol: float
) -> tuple[np.ndarray, np.ndarray]:
    """Go down from the first point of each row by pattern searches, over the unit box.

    A pattern search looks a step away along both directions of the axes and of a few rotated
    ones, moves and lengthens the step where that is better, and halves it where it is not. The
    rotations change from round to round, which lets the search follow the ridges of costs with
    kinks (mesh adaptive direct search, Audet and Dennis, 2006, in its simplest form).

    Parameters
    ----------
    objective : callable
    rows : ndarray of shape (r,)
        The numbers of the rows.
    z : ndarray of shape (r, m, k)
        Starts, of which the first is taken.
    best : ndarray of shape (r, m)
        Their costs.
    tol : float
        Step, as a share of the box, at which the search of a row ends.

    Returns
    -------
    z : ndarray of shape (r, k)
    best : ndarray of shape (r,)
        The costs there.
    """
    z, best = z[:, 0].copy(), best[:, 0].copy()
    left = np.arange(len(rows))
    for attempt in range(_MAX_RESTARTS):
        # Each attempt has its own directions: how many the last one drew depends on the rows.
        rng = np.random.default_rng(attempt)
        found, value = pattern_search(
            objective, rows[left], z[left], best[left], rng, 0.25 / (1 + attempt), tol
        )
        stalled = best[left] - value <= tol * np.abs(value)
        z[left], best[left] = found, value
        left = left[~stalled] if attempt else left
        if not len(left):
            break
    return z, best


def pattern_search(
    objective: Objective,
    rows: np.ndarray,
    z: np.ndarray,
    best: np.ndarray,
    rng: np.random.Generator,
    first_step: float,
    tol: float,
    *,
    n_bases: int | None = None,
    small: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Improve the points `z` of rows, whose costs are `best`, until all steps are below `tol`.

    In each round along the axes and `n_bases` more bases, by default four for each dimension. Steps
    below `small` are quartered and not halved.
    """
    z, best = z.copy(), best.copy()
    step = np.full(len(z), first_step)
    n_bases = _N_BASES * z.shape[1] if n_bases is None else n_bases
    growth = 1.0 if z.shape[1] == 1 else 2.0
    # Finished rows are not changed, so that a row's result does not depend on the other rows.
    while len(left := np.flatnonzero(step > tol)):
        directions = _directions(rng, z.shape[1], n_bases)
        candidates = np.clip(z[left, None] + step[left, None, None] * directions, 0.0, 1.0)
        values = objective(rows[left], candidates)
        choice = values.argmin(axis=1)
        least = values[np.arange(len(left)), choice]
        # Only gains above rounding errors count: without this margin the search may not end.
        better = least < best[left] - 1e-15 * np.abs(best[left])
        moved = left[better]
        z[moved] = candidates[better, choice[better]]
        best[moved] = least[better]
        own = step[left]
        shorter = own / np.where(own > small, 2.0, 4.0)
        step[left] = np.where(better, np.minimum(growth * own, first_step), shorter)
    return z, best


def covering_points(n: int, n_dims: int) -> np.ndarray:
    """Return n points (n, k), a power of two, that cover the unit box evenly.

    Fewer points are the first of more.
    """
    points = qmc.Sobol(n_dims, scramble=True, rng=np.random.default_rng(0))
    return points.random(n)


def _directions(rng: np.random.Generator, n_dims: int, n_bases: int) -> np.ndarray:
    """Return the axes and, in several dimensions, their reflections in random planes."""
    axes = np.eye(n_dims)
    if n_dims == 1:
        return np.array([[1.0], [-1.0]])
    normals = rng.standard_normal((n_bases, n_dims, 1))
    squares = (normals**2).sum(axis=1, keepdims=True)
    bases = axes - 2.0 * normals * normals.transpose(0, 2, 1) / squares
    half = np.concatenate([axes, bases.reshape(-1, n_dims)])
    return np.concatenate([half, -half])
