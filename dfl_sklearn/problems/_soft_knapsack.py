"""Knapsacks whose capacity may be exceeded at a price, solved for many rows."""

from typing import NamedTuple

import numpy as np

from ..solvers.mixed import MixedSolver
from ..solvers.polytope import Polytope

_MOST_LISTED = 16  # items up to which all sets are listed
_MOST_HALVED = 32  # items up to which the sets of either half are listed
_CORE = 9  # items whose sets are listed to find a good one
_MOST_CELLS = 1 << 24  # cells of a table of values by item and weight
_CHUNK = 1 << 20  # numbers in the largest temporary array
_ROUNDING = 1e-9  # tolerance, as a share of the terms of a bound, so that no best set is lost


class SoftKnapsacks(NamedTuple):
    r"""Rows of :math:`\max_z v^\top z - p\,(w^\top z - C)_+` over z of zeros and ones.

    Attributes
    ----------
    values : ndarray of shape (B, n)
    weights : ndarray of shape (B, n)
        At least 0.
    capacity : ndarray of shape (B,)
        At least 0.
    penalty : ndarray of shape (B,)
        Positive.
    """

    values: np.ndarray
    weights: np.ndarray
    capacity: np.ndarray
    penalty: np.ndarray

    def take(self, rows: np.ndarray) -> "SoftKnapsacks":
        return SoftKnapsacks(*(each[rows] for each in self))


def best_items(rows: SoftKnapsacks, units: np.ndarray | None, name: str) -> np.ndarray:
    """Return the best sets (B, n), zeros and ones; a decision does not depend on other rows.

    First, items are settled whose inclusion or exclusion a bound rules out. If few are left, all
    their sets are listed. Otherwise the rest is solved by dynamic programming over the weight where
    there are units, and by a mixed-integer program where there are none.

    Parameters
    ----------
    rows : SoftKnapsacks
    units : ndarray of shape (B,) or None
        The unit of which the weights of a row are integer multiples.
    name : str
        Name of the problem, for errors.
    """
    z = np.zeros(rows.values.shape)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        settled = _settled(rows)  # 1 in, 0 out, NaN open
        is_open = np.isnan(settled)
        z[settled == 1] = 1.0
        capacity = rows.capacity - (rows.weights * z).sum(axis=1)
        n_open = is_open.sum(axis=1)
        for count in np.unique(n_open[n_open > 0]).tolist():
            index = np.flatnonzero(n_open == count)
            items = np.nonzero(is_open[index])[1].reshape(len(index), count)
            at = index[:, None], items
            part = SoftKnapsacks(
                rows.values[at], rows.weights[at], capacity[index], rows.penalty[index]
            )
            if count <= _MOST_LISTED:
                z[at] = _listed(part)
                continue
            for i, row in enumerate(index.tolist()):
                unit = None if units is None else float(units[row])
                z[row, items[i]] = _one_row(part.take(np.array([i])), unit, name, row)
    return z


def _settled(rows: SoftKnapsacks) -> np.ndarray:
    r"""Return which items (B, n) are in (1) or out (0) in all best sets, NaN where it is open.

    For each price :math:`\lambda \in [0, p]` of capacity,
    :math:`\lambda C + \sum_j (v_j - \lambda w_j)_+` bounds the best value. With item j on the
    other side, the bound is lower by :math:`|v_j - \lambda w_j|`. Where that is below the value of
    a known set, the item is settled. Also settled are items that are worth more than the penalty
    for their whole weight, and items that are worth less than the penalty for their own excess.
    """
    v, w, capacity, penalty = rows
    price = penalty[:, None]
    alone = price * np.maximum(w - capacity[:, None], 0.0)
    is_out = (v <= 0) | (alone * (1 - _ROUNDING) > v)
    is_in = v * (1 - _ROUNDING) > price * w
    ratio = np.where(w > 0, v / np.where(w > 0, w, 1.0), np.where(v > 0, np.inf, -np.inf))
    order = np.argsort(-ratio, axis=1, kind="stable")
    total = np.cumsum(np.take_along_axis(w, order, axis=1), axis=1)
    pays = np.take_along_axis(v, order, axis=1) > 0
    breaks = (total > capacity[:, None]) & pays
    first = breaks.argmax(axis=1)
    critical = np.take_along_axis(ratio, order, axis=1)[np.arange(len(v)), first]
    price = np.where(breaks.any(axis=1), np.clip(critical, 0.0, penalty), 0.0)
    gain = v - price[:, None] * w
    bound = price * capacity + np.maximum(gain, 0.0).sum(axis=1)
    size = np.abs(price * capacity) + np.abs(gain).sum(axis=1)
    found = _greedy(rows, order, pays)

    def settle(found: np.ndarray) -> np.ndarray:
        reach = bound + _ROUNDING * (size + np.abs(found))
        is_settled = reach[:, None] - np.abs(gain) < found[:, None]
        side = np.where(is_settled, np.where(gain > 0, 1.0, 0.0), np.nan)
        return np.where(is_out, 0.0, np.where(is_in, 1.0, side))

    settled = settle(found)
    many = np.flatnonzero(np.isnan(settled).sum(axis=1) > _CORE)
    if len(many):
        better = found.copy()
        better[many] = np.maximum(found[many], _around(rows.take(many), gain[many]))
        settled = settle(better)
    return settled


def _around(rows: SoftKnapsacks, gain: np.ndarray) -> np.ndarray:
    """Return the value (B,) of the best set that differs in the least certain items only."""
    z = (gain > 0).astype(np.float64)
    at = np.arange(len(gain))[:, None], np.argsort(np.abs(gain), axis=1, kind="stable")[:, :_CORE]
    z[at] = 0.0
    capacity = rows.capacity - (rows.weights * z).sum(axis=1)
    part = SoftKnapsacks(rows.values[at], rows.weights[at], capacity, rows.penalty)
    z[at] = _listed(part)
    excess = np.maximum((rows.weights * z).sum(axis=1) - rows.capacity, 0.0)
    return (rows.values * z).sum(axis=1) - rows.penalty * excess


def _greedy(rows: SoftKnapsacks, order: np.ndarray, pays: np.ndarray) -> np.ndarray:
    """Return the value (B,) of good sets: items in order, each where it adds to the value."""
    v, w, capacity, penalty = rows
    index = np.arange(len(v))
    used, worth = np.zeros(len(v)), np.zeros(len(v))
    best = worth.copy()
    for j in range(v.shape[1]):
        item = order[:, j]
        excess = np.maximum(used + w[index, item] - capacity, 0.0)
        excess -= np.maximum(used - capacity, 0.0)
        gain = v[index, item] - penalty * excess
        # The value of the set with this item added, whether or not it is kept.
        best = np.maximum(best, worth + gain)
        takes = pays[:, j] & (used + w[index, item] <= capacity)
        used, worth = used + takes * w[index, item], worth + np.where(takes, gain, 0.0)
    return best


def _listed(rows: SoftKnapsacks) -> np.ndarray:
    """Return the best of all sets; ties go to the first one, item by item from the last."""
    n = rows.values.shape[1]
    found = np.empty(len(rows.values), dtype=np.int64)
    step = max(1, _CHUNK >> n)
    for start in range(0, len(found), step):
        part = rows.take(np.arange(start, min(start + step, len(found))))
        worth, weight = set_sums(part.values), set_sums(part.weights)
        excess = np.maximum(weight - part.capacity[:, None], 0.0)
        found[start : start + step] = (worth - part.penalty[:, None] * excess).argmax(axis=1)
    return (found[:, None] >> np.arange(n) & 1).astype(np.float64)


def set_sums(terms: np.ndarray) -> np.ndarray:
    """Return the sums of terms (B, n) over all sets, (B, 2^n); set s is given by the bits of s."""
    sums = np.zeros((len(terms), 1 << terms.shape[1]))
    for j in range(terms.shape[1]):
        sums[:, 1 << j : 2 << j] = sums[:, : 1 << j] + terms[:, j, None]
    return sums


def _by_halves(row: SoftKnapsacks) -> np.ndarray:
    """Return the best set (n,) of a single row: for each set of one half the best of the other.

    Among the sets of the other half that fit this is the most valuable one, and among those that
    do not fit the one with the largest value less the penalty for its weight.
    """
    n, half = row.values.shape[1], row.values.shape[1] // 2
    capacity, penalty = row.capacity[0], row.penalty[0]
    value, weight = (
        set_sums(row.values[:, :half])[0],
        set_sums(row.weights[:, :half])[0],
    )
    value_2, weight_2 = (
        set_sums(row.values[:, half:])[0],
        set_sums(row.weights[:, half:])[0],
    )
    order = np.argsort(weight_2, kind="stable")
    value_2, weight_2 = value_2[order], weight_2[order]
    room = capacity - weight
    fit = np.searchsorted(weight_2, room, side="right")  # number of sets that fit
    most = np.maximum.accumulate(value_2)
    net = np.maximum.accumulate((value_2 - penalty * weight_2)[::-1])[::-1]
    inside = np.where(fit > 0, most[fit - 1], -np.inf)
    outside = np.append(net, -np.inf)[fit] + penalty * room
    first = int((value + np.maximum(inside, outside)).argmax())
    excess = np.maximum(weight_2 - room[first], 0.0)
    second = int(order[(value_2 - penalty * excess).argmax()])
    return ((first | second << half) >> np.arange(n) & 1).astype(np.float64)


def _one_row(row: SoftKnapsacks, unit: float | None, name: str, number: int) -> np.ndarray:
    """Return the best set (n,) of a single row with many items."""
    v, w, capacity, penalty = row.values[0], row.weights[0], row.capacity[0], row.penalty[0]
    if len(v) <= _MOST_HALVED:
        return _by_halves(row)
    if unit is not None:
        # Items worth more than the penalty for their whole weight are taken. None of the others
        # is worth exceeding the capacity by its weight, so the excess is below the largest weight.
        z = (v >= penalty * w) & (v > 0)
        rest = ~z & (v > 0)
        room = capacity - w[z].sum()
        if not rest.any() or room <= 0:
            return z.astype(np.float64)
        most = min(room + w[rest].max(), w[rest].sum())
        if most / unit * len(v) <= _MOST_CELLS:
            z[rest] = _by_weight(v[rest], w[rest], room, penalty, unit, int(most / unit) + 1)
            return z.astype(np.float64)
    n = len(v)
    program = Polytope.of(
        n + 1,
        ub=(np.append(w, -1.0)[None], [capacity]),
        upper=np.append(np.ones(n), np.inf),
        integral=np.append(np.ones(n, dtype=bool), False),
    )
    costs = np.append(-v, penalty)[None]
    return np.rint(MixedSolver(program, name).solve(costs, number)[0, :n])


def _by_weight(
    v: np.ndarray, w: np.ndarray, room: float, penalty: float, unit: float, most: int
) -> np.ndarray:
    """Return the best set (n,), from the best value for each integer weight up to `most`."""
    whole = np.rint(np.minimum(w / unit, most + 1.0)).astype(np.int64)
    value = np.zeros(most + 1)
    taken = np.zeros((len(v), most + 1), dtype=bool)
    for j, weight in enumerate(whole.tolist()):
        if weight > most:
            continue
        with_j = value[: most + 1 - weight] + v[j]
        taken[j, weight:] = with_j > value[weight:]
        value[weight:] = np.maximum(value[weight:], with_j)
    paid = penalty * np.maximum(np.arange(most + 1) * unit - room, 0.0)
    left, z = int((value - paid).argmax()), np.zeros(len(v), dtype=bool)
    for j in range(len(v) - 1, -1, -1):
        z[j] = taken[j, left]
        left -= int(whole[j]) * int(z[j])
    return z
