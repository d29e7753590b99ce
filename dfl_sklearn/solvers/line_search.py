"""Batched minimisation over an interval, of costs with several valleys and steps."""

import numpy as np

from .direct_search import Objective, pattern_search

_FIRST_LEVEL = 3  # grids have 2**level + 1 points
_LAST_LEVEL = 10
_N_PROBES = 8  # points beside the grid, at irregular places
_N_AROUND, _RATIO = 16, 0.7  # points on each side of an end, and how much nearer the next one is
_GOLDEN = (5.0**0.5 - 1.0) / 2.0
_SAME = 1e-9  # of the largest difference on a line, below which costs count as equal
_MOST_VALUES = 1 << 22  # costs on refined grids that are kept at a time


def minimise_on_line(
    objective: Objective, n_rows: int, *, n_points: int, tol: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Minimise the objective of every row over the interval from 0 to 1.

    A grid of at least `n_points` is made twice as fine until that shows no further valley, nor do
    a few points beside it. Each valley of the grid is then searched by halving. A finer grid
    searches all that a coarser one does, so that more points never lead to a larger cost.

    Parameters
    ----------
    objective : callable
    n_rows : int
    n_points : int
    tol : float
        Step at which the search of a valley ends.

    Returns
    -------
    z : ndarray of shape (n_rows, 1)
    best : ndarray of shape (n_rows,)
        The costs.
    is_seen : ndarray of shape (n_rows,)
        Whether the grid shows all valleys, as far as twice as fine a grid can tell.
    """
    z, best = np.empty((n_rows, 1)), np.empty(n_rows)
    is_seen = np.zeros(n_rows, dtype=bool)
    first = max(_FIRST_LEVEL, int(np.ceil(np.log2(n_points - 1))))

    def search(rows: np.ndarray, values: np.ndarray, level: int) -> np.ndarray:
        """Search the valleys of rows (r,), and return whether the grid shows all there are."""
        if level < _LAST_LEVEL:
            shows = _shows_all(objective, rows, values, level)
            some = np.flatnonzero(shows)
        else:
            shows, some = np.ones(len(rows), dtype=bool), np.arange(len(rows))
        at = rows[some]
        z[at], best[at] = _lowest(objective, at, values[some], level, tol)
        shows[some] = ~_has_valleys_around(objective, at, z[at], best[at], 2.0 ** (1 - level))
        if level >= _LAST_LEVEL:
            shows &= _shows_all(objective, rows, values, level)
        is_seen[rows] = shows
        return shows

    rows = np.arange(n_rows)
    values = _on_grid(objective, rows, np.linspace(0.0, 1.0, 2**first + 1))
    left = np.flatnonzero(~search(rows, values, first))
    # What is left takes larger grids: a part of it at a time.
    step = max(1, _MOST_VALUES >> _LAST_LEVEL)
    for part in (left[start : start + step] for start in range(0, len(left), step)):
        own, some = values[part], part
        for level in range(first + 1, _LAST_LEVEL + 1):
            own = _refined(objective, some, own, level)
            hidden = ~search(some, own, level)
            own, some = own[hidden], some[hidden]
            if not len(some):
                break
    return z, best, is_seen


def n_valleys(values: np.ndarray) -> np.ndarray:
    """Return how many valleys (r,) costs (r, c) along lines have, those at the ends included."""
    rises = _rises(values)
    return _n_turns(rises) + rises[:, 0] + ~rises[:, -1]


def _rises(values: np.ndarray) -> np.ndarray:
    """Return whether costs (r, c) rise from each point to the next; if not, they fall."""
    most, least = values.max(axis=1), values.min(axis=1)
    noise = _SAME * (most - least) + 1e-13 * np.maximum(np.abs(most), np.abs(least))
    change = np.diff(values, axis=1)
    rises, falls = change > noise[:, None], change < -noise[:, None]
    flat = np.flatnonzero(~(rises | falls).all(axis=1))
    if len(flat):  # there the cost goes on as it came, and at the beginning falls
        own = rises[flat]
        place = np.where(own | falls[flat], np.arange(own.shape[1]), -1)
        place = np.maximum.accumulate(place, axis=1)
        rises[flat] = np.take_along_axis(own, np.maximum(place, 0), axis=1) & (place >= 0)
    return rises


def _n_turns(rises: np.ndarray) -> np.ndarray:
    return (rises[:, 1:] & ~rises[:, :-1]).sum(axis=1)


def _has_valleys_around(
    objective: Objective, rows: np.ndarray, z: np.ndarray, best: np.ndarray, width: float
) -> np.ndarray:
    """Return whether lines turn upwards more than once within `width` of points `z` (r, 1)."""
    ahead = width * _RATIO ** np.arange(_N_AROUND)
    away = np.concatenate([-ahead, [0.0], ahead[::-1]])
    costs = objective(rows, np.clip(z + away, 0.0, 1.0)[:, :, None])
    costs[:, _N_AROUND] = best
    return _n_turns(_rises(costs)) > 1


def _on_grid(objective: Objective, rows: np.ndarray, points: np.ndarray) -> np.ndarray:
    return objective(rows, np.broadcast_to(points[:, None], (len(rows), len(points), 1)))


def _refined(objective: Objective, rows: np.ndarray, values: np.ndarray, level: int) -> np.ndarray:
    """Return costs on the grid of a level from those on the one below."""
    finer = np.empty((len(rows), 2**level + 1))
    finer[:, ::2] = values
    finer[:, 1::2] = _on_grid(objective, rows, np.linspace(0.0, 1.0, 2**level + 1)[1::2])
    return finer


def _shows_all(
    objective: Objective, rows: np.ndarray, values: np.ndarray, level: int
) -> np.ndarray:
    """Return whether neither half as many points nor some more have another number of valleys.

    On the finest grid the number may differ by an eighth: next to a jump there may be a valley as
    narrow as one likes.
    """
    probes = (np.arange(1, 1 + _N_PROBES) + _N_PROBES * level) * _GOLDEN % 1.0
    points = np.concatenate([np.linspace(0.0, 1.0, 2**level + 1), probes])
    every = np.concatenate([values, _on_grid(objective, rows, probes)], axis=1)
    count = n_valleys(every[:, np.argsort(points, kind="stable")])
    shows = count <= 1  # as then of fewer points
    some = np.flatnonzero(~shows)
    if len(some):
        own, count = values[some], count[some]
        most = count // 8 if level >= _LAST_LEVEL else np.zeros_like(count)
        fewest = np.minimum(n_valleys(own), n_valleys(own[:, ::2]))
        shows[some] = count - fewest <= most
    return shows


def _lowest(
    objective: Objective, rows: np.ndarray, values: np.ndarray, level: int, tol: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best points (r, 1) of the valleys of rows, and their costs (r,)."""
    if not len(rows):
        return np.empty((0, 1)), np.empty(0)
    row, place = _starts(values, level)
    step = 2.0**-level
    z, best = pattern_search(
        objective,
        rows[row],
        place[:, None] * step,
        values[row, place],
        np.random.default_rng(0),
        step / 2.0,
        tol,
    )
    order = np.lexsort([np.arange(len(row)), best, row])
    first = order[np.flatnonzero(np.diff(row, prepend=-1))]
    return z[first], best[first]


def _starts(values: np.ndarray, level: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and places of the points of a grid that are searched.

    They are at most as dear as their neighbours, and cheaper than one on this grid or on a coarser
    one: of flat parts that is the ends.
    """
    row, place = np.nonzero(_at_most_neighbours(values))
    is_end = np.zeros(len(row), dtype=bool)
    for each in range(level, _FIRST_LEVEL - 1, -1):
        stride = 2 ** (level - each)
        some = np.flatnonzero(~is_end & (place % stride == 0))
        if not len(some):
            continue
        at, own = row[some], values[row[some], place[some]]
        left, right = place[some] - stride, place[some] + stride
        before = np.where(left >= 0, values[at, np.maximum(left, 0)], np.inf)
        after = np.where(right <= 2**level, values[at, np.minimum(right, 2**level)], np.inf)
        is_end[some] = (own <= before) & (own <= after) & ((own < before) | (own < after))
    return row[is_end], place[is_end]


def _at_most_neighbours(values: np.ndarray) -> np.ndarray:
    low = np.ones(values.shape, dtype=bool)
    low[:, 1:] &= values[:, 1:] <= values[:, :-1]
    low[:, :-1] &= values[:, :-1] <= values[:, 1:]
    return low
