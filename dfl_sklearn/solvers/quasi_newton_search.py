"""Batched minimisation over a box by quasi-Newton steps, for costs with kinks and valleys."""

import numpy as np

from .direct_search import Objective, pattern_search

_WIDE = (1e-5,)  # half-widths of central differences, as shares of the box
_NARROW = (1e-7, 1e-9)
_COARSE, _SMALL = 0.01, 0.01  # steps of pattern searches
_LENGTHS = (
    (4.0, 2.0, 1.0, 0.5, 0.25, 0.125),
    tuple(2.0 ** -np.arange(4, 12)),
    tuple(2.0 ** -np.arange(12, 28, 2)),
)
_ENOUGH = 1e-4  # of what the slope promises, for a step to be taken
_MOST_STEPS = 400
_PATIENCE = 3  # short steps in a row
_MOST_ROUNDS = 5


def descend_with_slopes(
    objective: Objective, rows: np.ndarray, z: np.ndarray, best: np.ndarray, tol: float
) -> tuple[np.ndarray, np.ndarray]:
    """Go down from the points of each row over the unit box, and return the best end of each.

    A coarse pattern search from the first point finds a valley, quasi-Newton steps (BFGS) with
    central differences go down in it and from the other points. A line search that takes the
    longest step with a fair gain crosses kinks, so that the matrix learns of either side (Lewis and
    Overton, "Nonsmooth optimization via quasi-Newton methods", Mathematical Programming 141, 2013).
    At bounds the cost is reflected. A pattern search looks whether the end can be left, where there
    are steps as well; if so, it all starts again from there.

    Parameters and results are those of
    :func:`~dfl_sklearn.solvers.direct_search.descend_by_patterns`, but that all points are taken.
    """
    rng = np.random.default_rng(0)
    near = pattern_search(objective, rows, z[:, 0], best[:, 0], rng, 0.25, _COARSE, n_bases=1)
    z = np.concatenate([near[0][:, None], z], axis=1)
    best = np.concatenate([near[1][:, None], best], axis=1)
    z, best = _descend(objective, rows, z, best, tol)
    left = np.arange(len(rows))
    for attempt in range(1, 1 + _MOST_ROUNDS):
        rng = np.random.default_rng(attempt)
        found, value = pattern_search(
            objective,
            rows[left],
            z[left],
            best[left],
            rng,
            0.25 / attempt,
            tol,
            n_bases=1,
            small=_SMALL,
        )
        gained = best[left] - value > tol * np.abs(value)
        z[left], best[left] = found, value
        left = left[gained]
        if not len(left) or attempt == _MOST_ROUNDS:
            break
        z[left], best[left] = _descend(objective, rows[left], z[left, None], best[left, None], tol)
    return z, best


def _descend(
    objective: Objective, rows: np.ndarray, z: np.ndarray, best: np.ndarray, tol: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best ends (r, k) of steps from points (r, m, k) of rows, and their costs (r,)."""
    r, m, k = z.shape
    of = np.repeat(rows, m)
    ends, costs = _steps(objective, of, z.reshape(-1, k), best.ravel(), tol, _WIDE, 0.1)
    ends, costs = ends.reshape(r, m, k), costs.reshape(r, m)
    least = np.arange(r), costs.argmin(axis=1)
    return _steps(objective, rows, ends[least], costs[least], tol, _NARROW, 1e-3)


def _steps(
    objective: Objective,
    rows: np.ndarray,
    z: np.ndarray,
    best: np.ndarray,
    tol: float,
    widths: tuple[float, ...],
    first: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return where quasi-Newton steps end, and the costs there.

    The first step is a share `first` of the box. Where steps end, they start again with the next of
    the widths.
    """
    n, k = z.shape
    eye, width = np.eye(k), np.array(widths)
    z, best = z.copy(), best.copy()  # z may leave the box: it is reflected
    level, short = np.zeros(n, dtype=int), np.zeros(n, dtype=int)
    inverse, is_new = np.tile(eye, (n, 1, 1)), np.ones(n, dtype=bool)

    def slopes(some: np.ndarray) -> np.ndarray:
        half = width[level[some], None, None] * eye
        around = np.concatenate([z[some, None] + half, z[some, None] - half], axis=1)
        values = objective(rows[some], _reflected(around))
        return (values[:, :k] - values[:, k:]) / (2.0 * width[level[some], None])

    left = np.arange(n)
    slope = slopes(left)
    for _ in range(_MOST_STEPS):
        if not len(left):
            break
        step = -(inverse[left] * slope[left, None]).sum(axis=2)
        size = np.sqrt((step**2).sum(axis=1))
        size = np.where(size > 0, size, 1.0)
        begin = first * 0.01 ** level[left] / size
        step *= np.where(is_new[left], begin, np.minimum(1.0, 0.5 / size))[:, None]
        length, value = _longest(objective, rows, z, best, left, step, (slope[left] * step).sum(1))
        moved = length > 0
        some, way = left[moved], (length[:, None] * step)[moved]
        z[some] += way
        best[some] = value[moved]
        before = slope[some]
        slope[some] = slopes(some)
        change = slope[some] - before
        bend = (way * change).sum(axis=1)
        known = bend > 1e-14 * np.sqrt((way**2).sum(axis=1) * (change**2).sum(axis=1))
        some, way, change, bend = some[known], way[known], change[known], bend[known]
        scale = bend / (change**2).sum(axis=1)
        old = np.where(is_new[some, None, None], scale[:, None, None] * eye, inverse[some])
        inverse[some] = _updated(old, way, change, bend)
        is_new[some] = False
        goes = moved & (np.abs(length[:, None] * step).max(axis=1) > tol)
        short[left] = np.where(goes, 0, np.where(moved, short[left] + 1, _PATIENCE))
        ended = left[short[left] >= _PATIENCE]
        level[ended[is_new[ended]]] += 1
        is_new[ended], inverse[ended], short[ended] = True, eye, 0
        again = ended[level[ended] < len(widths)]
        if len(again):
            slope[again] = slopes(again)
        left = left[level[left] < len(widths)]
    return _reflected(z), best


def _longest(
    objective: Objective,
    rows: np.ndarray,
    z: np.ndarray,
    best: np.ndarray,
    left: np.ndarray,
    step: np.ndarray,
    promised: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the longest multiples (r,) of steps with a fair gain, 0 without, and the costs."""
    length, value = np.zeros(len(left)), best[left].copy()
    open_ = np.flatnonzero(promised < 0)
    for some in _LENGTHS:
        if not len(open_):
            break
        lengths, at = np.array(some), left[open_]
        candidates = z[at, None] + lengths[:, None] * step[open_, None]
        values = objective(rows[at], _reflected(candidates))
        base = best[at, None]
        fair = values <= base + _ENOUGH * lengths * promised[open_, None]
        fair &= values < base - 1e-15 * np.abs(base)
        hit, choice = fair.any(axis=1), fair.argmax(axis=1)
        length[open_[hit]] = lengths[choice[hit]]
        value[open_[hit]] = values[hit, choice[hit]]
        open_ = open_[~hit]
    return length, value


def _updated(
    inverse: np.ndarray, way: np.ndarray, change: np.ndarray, bend: np.ndarray
) -> np.ndarray:
    """Return the BFGS update of inverse matrices (r, k, k) after steps and changes of slopes."""
    share = way / bend[:, None]
    onto = np.eye(way.shape[1]) - share[:, :, None] * change[:, None]
    # Sums of products that are the same for a row whatever rows are beside it.
    half = (onto[:, :, :, None] * inverse[:, None]).sum(axis=2)
    whole = (half[:, :, None] * onto[:, None]).sum(axis=3)
    return whole + share[:, :, None] * way[:, None]


def _reflected(z: np.ndarray) -> np.ndarray:
    """Return points in the unit box, reflected at its faces."""
    z = np.abs(z) % 2.0
    return np.where(z > 1.0, 2.0 - z, z)
