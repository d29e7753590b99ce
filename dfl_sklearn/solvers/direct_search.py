"""Batched derivative-free minimisation over a box: many small problems at once."""

from collections.abc import Callable

import numpy as np
from scipy.stats import qmc

_N_REFLECTIONS = 4  # random bases per round and dimension, beside the axes
_MAX_RESTARTS = 12  # a search that stalled on a ridge goes on from there with long steps
Objective = Callable[[np.ndarray], np.ndarray]
"""Maps candidates (n, c, k) in the unit box to their costs (n, c)."""


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
    starts = _covering_points(n_starts, n_dims)
    values = objective(np.broadcast_to(starts, (n_rows, *starts.shape)))
    z, best = starts[values.argmin(axis=1)], values.min(axis=1)
    if n_dims == 1:
        rng = np.random.default_rng(0)
        return _pattern_search(objective, z, best, rng, 1.0 / (n_starts - 1), tol)[0]
    active = np.ones(n_rows, dtype=bool)
    for attempt in range(_MAX_RESTARTS):
        # Each attempt has its own directions: how many the last one drew depends on the rows.
        rng = np.random.default_rng(attempt)
        found, value = _pattern_search(objective, z, best, rng, 0.25 / (1 + attempt), tol)
        stalled = best - value <= tol * np.abs(value)
        z, best = np.where(active[:, None], found, z), np.where(active, value, best)
        active &= ~stalled if attempt else True
        if not active.any():
            break
    return z


def _pattern_search(
    objective: Objective,
    z: np.ndarray,
    best: np.ndarray,
    rng: np.random.Generator,
    first_step: float,
    tol: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Improve the points `z`, whose costs are `best`, until all steps are below `tol`."""
    every = np.arange(len(z))
    step = np.full(len(z), first_step)
    growth = 1.0 if z.shape[1] == 1 else 2.0
    while (step > tol).any():
        directions = _directions(rng, z.shape[1])
        candidates = np.clip(z[:, None] + step[:, None, None] * directions, 0.0, 1.0)
        values = objective(candidates)
        choice = values.argmin(axis=1)
        # A gain lost in rounding is no gain: without the margin the search may not end.
        # Finished rows rest, so that a row's result does not depend on the others'.
        better = (values[every, choice] < best - 1e-15 * np.abs(best)) & (step > tol)
        z = np.where(better[:, None], candidates[every, choice], z)
        best = np.where(better, values[every, choice], best)
        step = np.where(better, np.minimum(growth * step, first_step), step / 2)
    return z, best


def _covering_points(n: int, n_dims: int) -> np.ndarray:
    if n_dims == 1:
        return np.linspace(0.0, 1.0, n)[:, None]
    points = qmc.Sobol(n_dims, scramble=True, rng=np.random.default_rng(0))
    return points.random_base2(int(np.ceil(np.log2(n))))


def _directions(rng: np.random.Generator, n_dims: int) -> np.ndarray:
    """Return the axes and, in several dimensions, their reflections in random planes."""
    axes = np.eye(n_dims)
    if n_dims == 1:
        return np.array([[1.0], [-1.0]])
    normals = rng.standard_normal((_N_REFLECTIONS * n_dims, n_dims, 1))
    squares = (normals**2).sum(axis=1, keepdims=True)
    bases = axes - 2.0 * normals * normals.transpose(0, 2, 1) / squares
    half = np.concatenate([axes, bases.reshape(-1, n_dims)])
    return np.concatenate([half, -half])
