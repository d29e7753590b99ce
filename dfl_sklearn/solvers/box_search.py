"""Batched global minimisation over a box: scan, searches, lines, and whether to trust the end."""

from collections.abc import Callable

import numpy as np

from .direct_search import Objective, covering_points
from .line_search import minimise_on_line, n_valleys

Descent = Callable[
    [Objective, np.ndarray, np.ndarray, np.ndarray, float], tuple[np.ndarray, np.ndarray]
]
"""Goes down from starts (r, m, k) of costs (r, m): objective, rows, starts, costs and tol."""

N_STARTS = 33  # per dimension, which are always scanned
_SHARE = 8  # where there are several valleys, at most one of so many points of the scan is a start
_FIRST_SEARCHES = 3  # 2**3 of them, and twice as many each time
_N_RAYS, _RAY = 4, 16  # lines away from the end, and points on each
_LINE = 33  # points of a line, evenly,
_AROUND = np.outer([-1.0, 1.0], 0.7 ** np.arange(16) / 32.0).ravel()  # and ever nearer to the end
_RISE = 1e-3  # of the largest difference in the scan: costs that far apart are different
_ALIKE = 1e-4  # the same for the ends of searches
_MOST_ROUNDS = 5
_MOST_SWEEPS = 10


def minimise_globally(
    objective: Objective, n_rows: int, n_dims: int, *, n_starts: int, tol: float, descend: Descent
) -> tuple[np.ndarray, np.ndarray]:
    """Minimise the objective of every row over the unit box, in several dimensions.

    A search starts at the best points of a scan. Along the axes through its end, whole lines are
    looked at, which finds the best step of costs that have steps in single decisions. Where lines
    show several valleys, the search is repeated from up to an eighth of the points of the scan,
    until its ends are few, or nearly all different. Points and searches of fewer starts are among
    those of more, so that more never lead to a larger cost.

    Parameters
    ----------
    objective : callable
    n_rows, n_dims : int
    n_starts : int
        Points of the scan; fewer than 33 in each dimension are taken as so many.
    tol : float
        Step, as a share of the box, at which the search of a row ends.
    descend : callable

    Returns
    -------
    z : ndarray of shape (n_rows, n_dims)
    is_sure : ndarray of shape (n_rows,)
        False where there are several valleys and searches from many points found so many of them
        that others are likely, or where a line has more than its points can show.
    """
    fewest = _level(N_STARTS * n_dims)
    levels = range(fewest, max(fewest, _level(n_starts)) + 1)
    starts = covering_points(2 ** levels[-1], n_dims)
    rows = np.arange(n_rows)
    values = objective(rows, np.broadcast_to(starts, (n_rows, *starts.shape)))
    span = np.ptp(values[:, : 2**fewest], axis=1)
    z, best = np.empty((n_rows, n_dims)), np.full(n_rows, np.inf)
    rugged, hidden = np.zeros((2, n_rows), dtype=bool)
    before = np.full((n_rows, 2), -1)
    for level in levels:
        order = np.argsort(values[:, : 2**level], axis=1, kind="stable")[:, :2]
        some = np.flatnonzero((order != before).any(axis=1))
        before = order
        own = order[some]
        costs = np.take_along_axis(values[some], own, axis=1)
        end, cost, is_rugged, is_hidden = _searched(
            objective, some, starts[own], costs, tol * span[some], tol, descend
        )
        hidden[some] |= is_hidden
        if level == fewest:
            is_rugged |= _falls_away(objective, some, end, cost, span, starts[:_N_RAYS])
            rugged = is_rugged
        better = cost < best[some]
        z[some[better]], best[some[better]] = end[better], cost[better]
    is_sure = ~rugged
    some = np.flatnonzero(rugged)
    costs = np.empty((len(some), 0))
    for stop in _numbers_of_searches(len(starts) // _SHARE):
        part = np.arange(costs.shape[1], stop)
        of = np.repeat(some, len(part))
        end, cost, _, is_hidden = _searched(
            objective,
            of,
            np.tile(starts[part], (len(some), 1))[:, None],
            values[some[:, None], part].reshape(-1, 1),
            tol * span[of],
            tol,
            descend,
        )
        end, cost = end.reshape(len(some), len(part), n_dims), cost.reshape(len(some), len(part))
        hidden[some] |= is_hidden.reshape(len(some), len(part)).any(axis=1)
        least = np.arange(len(some)), cost.argmin(axis=1)
        better = cost[least] < best[some]
        z[some[better]], best[some[better]] = end[least][better], cost[least][better]
        costs = np.concatenate([costs, cost], axis=1)
        n_ends = _n_different(costs, _ALIKE * span[some])
        done = _are_likely_all(n_ends, stop)
        is_sure[some[done]] = True
        more = ~done & (n_ends <= stop // 2)
        some, costs = some[more], costs[more]
        if not len(some):
            break
    return z, is_sure & ~hidden


def _numbers_of_searches(most: int) -> list[int]:
    """Return after how many searches it is asked whether there are enough."""
    return [2**each for each in range(_FIRST_SEARCHES, _level(most) + 1)]


def _level(n: int) -> int:
    return int(np.ceil(np.log2(n)))


def _searched(
    objective: Objective,
    rows: np.ndarray,
    z: np.ndarray,
    best: np.ndarray,
    least_gain: np.ndarray,
    tol: float,
    descend: Descent,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return ends (r, k) of searches from starts (r, m, k), and their costs.

    And whether lines through the ends have several valleys, and more than their points can show. A
    search goes on from where a line through its end leads to a lower cost.
    """
    ends, costs = descend(objective, rows, z, best, tol)
    rugged, hidden = np.zeros((2, len(rows)), dtype=bool)
    left = np.arange(len(rows))
    for attempt in range(_MOST_ROUNDS):
        at, cost, has_valleys, has_hidden = _along_axes(
            objective, rows[left], ends[left], costs[left], least_gain[left], tol
        )
        rugged[left] |= has_valleys
        hidden[left] |= has_hidden
        gained = cost < costs[left]
        ends[left], costs[left] = at, cost
        left = left[gained]
        if not len(left) or attempt == _MOST_ROUNDS - 1:
            break
        ends[left], costs[left] = descend(
            objective, rows[left], ends[left][:, None], costs[left][:, None], tol
        )
    return ends, costs, rugged, hidden


def _along_axes(
    objective: Objective,
    rows: np.ndarray,
    z: np.ndarray,
    best: np.ndarray,
    least_gain: np.ndarray,
    tol: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the best points along the axes, in turns, and their costs.

    And whether there are several valleys on an axis, and more than a fine grid can show.
    """
    z, best = z.copy(), best.copy()
    rugged, hidden = np.zeros((2, len(rows)), dtype=bool)
    grid = np.linspace(0.0, 1.0, _LINE)
    left = np.arange(len(rows))
    for _ in range(_MOST_SWEEPS):
        moved = np.zeros(len(rows), dtype=bool)
        for j in range(z.shape[1]):

            def on_line(some: np.ndarray, t: np.ndarray, j: int = j) -> np.ndarray:
                points = np.repeat(z[some, None], t.shape[1], axis=1)
                points[:, :, j] = t[:, :, 0]
                return objective(rows[some], points)

            here = z[left, j, None]
            around = np.clip(here + _AROUND, 0.0, 1.0)
            points = np.concatenate([np.tile(grid, (len(left), 1)), around], axis=1)
            costs = on_line(left, points[:, :, None])
            points = np.concatenate([points, here], axis=1)
            order = np.argsort(points, axis=1, kind="stable")
            costs = np.concatenate([costs, best[left, None]], axis=1)
            several = n_valleys(np.take_along_axis(costs, order, axis=1)) > 1
            several |= costs.min(axis=1) < best[left] - least_gain[left]
            some = left[several]
            if not len(some):
                continue
            rugged[some] = True

            def own_line(
                at: np.ndarray, t: np.ndarray, some: np.ndarray = some, on_line: Objective = on_line
            ) -> np.ndarray:
                return on_line(some[at], t)

            t, cost, is_seen = minimise_on_line(own_line, len(some), n_points=_LINE, tol=tol)
            hidden[some] |= ~is_seen
            better = cost < best[some] - least_gain[some]
            some = some[better]
            z[some, j], best[some], moved[some] = t[better, 0], cost[better], True
        left = left[moved[left]]
        if not len(left):
            break
    return z, best, rugged, hidden


def _falls_away(
    objective: Objective,
    rows: np.ndarray,
    z: np.ndarray,
    best: np.ndarray,
    span: np.ndarray,
    to: np.ndarray,
) -> np.ndarray:
    """Return whether the cost falls on a way from `z` to other points, as of no convex cost."""
    share = np.linspace(0.0, 1.0, _RAY + 1)[1:, None]
    falls = np.zeros(len(rows), dtype=bool)
    for point in to:
        costs = objective(rows, z[:, None] + share * (point - z[:, None]))
        change = np.diff(costs, axis=1, prepend=best[:, None])
        falls |= (change < -_RISE * span[rows, None]).any(axis=1)
    return falls


def _n_different(costs: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """Return how many different values (r,) there are among costs (r, n)."""
    return 1 + (np.diff(np.sort(costs, axis=1), axis=1) > apart[:, None]).sum(axis=1)


def _are_likely_all(n_ends: np.ndarray, n_searches: int) -> np.ndarray:
    """Return whether n searches that ended in so many valleys are likely to have found all.

    The expected number of all of them, a priori each equally likely to be found, is not above that
    which was found by more than a half (Boender and Rinnooy Kan, "Bayesian stopping rules for
    multistart global optimization methods", Mathematical Programming 37, 1987).
    """
    n_ends = n_ends.astype(np.float64)
    room = np.maximum(n_searches - n_ends - 2.0, 1e-9)
    return n_ends * (n_searches - 1.0) / room - n_ends <= 0.5
