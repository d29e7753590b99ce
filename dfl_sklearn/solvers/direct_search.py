"""Derivative-free minimisation over a box, for many small problems at once."""

from collections.abc import Callable

import numpy as np
from scipy.stats import qmc

_N_BASES = 4  # random ones per round and dimension, beside the axes
_MAX_RESTARTS = 12  # a search that stalled on a ridge goes on from there with long steps
Objective = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Maps the numbers of some rows (r,) and candidates (r, c, k) in the unit box to costs (r, c)."""


def minimise_in_box(
    objective: Objective, n_rows: int, n_dims: int, *, n_starts: int, tol: float
) -> np.ndarray:
    """Minimise the objective of every row over the unit box.

    The best of `n_starts` points that cover the box is improved by a pattern search: look
    a step away along both directions of the axes and of a few rotated ones, move and lengthen
    the step where that is better, halve it where it is not. The rotations change from round
    to round, which lets the search follow the ridges of costs with kinks (mesh adaptive
    direct search, Audet and Dennis, 2006, in its simplest form).

    Parameters
    ----------
    objective : callable
    n_rows, n_dims : int
    n_starts : int
        Number of starting points.
    tol : float
        Step, as a share of the box, at which the search of a row ends.

    Returns
    -------
    ndarray of shape (n_rows, n_dims)
    """
    starts = covering_points(n_starts, n_dims)
    rows = np.arange(n_rows)
    values = objective(rows, np.broadcast_to(starts, (n_rows, *starts.shape)))
    z, best = starts[values.argmin(axis=1)], values.min(axis=1)
    if n_dims == 1:
        rng = np.random.default_rng(0)
        return pattern_search(objective, rows, z, best, rng, 1.0 / (n_starts - 1), tol)[0]
    for attempt in range(_MAX_RESTARTS):
        # Each attempt has its own directions: how many the last one drew depends on the rows.
        rng = np.random.default_rng(attempt)
        found, value = pattern_search(
            objective, rows, z[rows], best[rows], rng, 0.25 / (1 + attempt), tol
        )
        stalled = best[rows] - value <= tol * np.abs(value)
        z[rows], best[rows] = found, value
        rows = rows[~stalled] if attempt else rows
        if not len(rows):
            break
    return z


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
    """Return at least n points (m, k) that cover the unit box evenly."""
    if n_dims == 1:
        return np.linspace(0.0, 1.0, n)[:, None]
    points = qmc.Sobol(n_dims, scramble=True, rng=np.random.default_rng(0))
    return points.random_base2(int(np.ceil(np.log2(n))))


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
