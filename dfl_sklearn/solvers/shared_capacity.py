"""Orders of several products from one capacity: exact, for many rows at once."""

from typing import NamedTuple

import numpy as np

from .._utils.powers import size_exponent

_MOST_NUMBERS = 1_000_000  # of scenarios and products that are worked on together
_NEARLY = 1.0 - 1e-12


class _Numbers(NamedTuple):
    """Underage costs, overage costs and usage (n, d), and the capacity (n,)."""

    underage: np.ndarray
    overage: np.ndarray
    usage: np.ndarray
    capacity: np.ndarray


def best_orders(
    y: np.ndarray,
    weight: np.ndarray,
    underage: np.ndarray,
    overage: np.ndarray,
    usage: np.ndarray,
    capacity: np.ndarray,
    *,
    nonnegative: bool,
) -> np.ndarray:
    r"""Return the orders z of least mean cost under a shared capacity.

    .. math:: \min_z \sum_s w_s \sum_j u_j (y_{sj} - z_j)_+ + o_j (z_j - y_{sj})_+
       \quad \text{with} \quad \sum_j a_j z_j \le C

    and, where asked for, :math:`z \ge 0`.

    Parameters
    ----------
    y : ndarray of shape (n, S, d)
        Demand in S scenarios.
    weight : ndarray of shape (n, S)
        Rows sum to 1.
    underage, overage, usage : ndarray of shape (n, d) or (1, d)
        u and o, positive; a, 0 or more.
    capacity : ndarray of shape (n,) or (1,)
        C, such that some order is allowed.
    nonnegative : bool

    Returns
    -------
    ndarray of shape (n, d)
        Of equally good orders the one with more of the product that comes first.
    """
    n, n_scenarios, d = y.shape
    # Beside powers of two, so that neither sums nor products overflow.
    exponent = size_exponent(np.maximum(*np.broadcast_arrays(underage, overage)), axis=1) + 1
    underage, overage = (np.ldexp(each, -exponent[:, None]) for each in (underage, overage))
    exponent = size_exponent(usage, axis=1)
    usage = np.ldexp(usage, -exponent[:, None])
    numbers = (underage, overage, usage)
    underage, overage, usage = (np.broadcast_to(each, (n, d)) for each in numbers)
    with np.errstate(over="ignore", under="ignore"):
        capacity = np.broadcast_to(np.ldexp(capacity, -exponent), (n,))
    z = np.empty((n, d))
    step = max(1, _MOST_NUMBERS // max(1, n_scenarios * d))
    for start in range(0, n, step):
        part = slice(start, start + step)
        z[part] = _orders(
            np.ascontiguousarray(y[part].transpose(0, 2, 1)),
            weight[part],
            _Numbers(underage[part], overage[part], usage[part], capacity[part]),
            nonnegative,
        )
    return z


def _orders(
    y: np.ndarray, weight: np.ndarray, numbers: "_Numbers", nonnegative: bool
) -> np.ndarray:
    underage, overage, usage, capacity = numbers
    # The mean cost is a sum over products of convex, piecewise linear functions, with turns at the
    # scenarios: between the k-th and the next of them a unit of product j saves
    # u_j - (u_j + o_j) F_j, with F_j the weight of the first k scenarios. The last turn of which
    # the next segment saves nothing is the best order without the capacity, a quantile.
    y = np.maximum(y, 0.0) if nonnegative else y  # the part of a cost below 0 is never paid
    order = np.argsort(y, axis=2, kind="stable")
    turns = np.take_along_axis(y, order, axis=2)
    mass = np.cumsum(np.take_along_axis(weight[:, None, :], order, axis=2), axis=2)
    before = np.concatenate([np.zeros_like(mass[:, :, :1]), mass[:, :, :-1]], axis=2)
    level = underage / (underage + overage)
    # Rounding in the sum of weights must not push the quantile one scenario too far.
    saves = before < (level * _NEARLY)[:, :, None]
    saves[:, :, 0] = True
    z = _reached(turns, saves.sum(axis=2), nonnegative)
    with np.errstate(over="ignore"):
        tight = (usage * z).sum(axis=1) > capacity
    if tight.any():
        z[tight] = _rationed(
            turns[tight],
            before[tight],
            saves[tight],
            _Numbers(underage[tight], overage[tight], usage[tight], capacity[tight]),
            nonnegative,
        )
    return z


def _rationed(
    turns: np.ndarray,
    before: np.ndarray,
    saves: np.ndarray,
    numbers: "_Numbers",
    nonnegative: bool,
) -> np.ndarray:
    """Return orders (n, d) where the best ones without the capacity do not fit."""
    # The segments of all products are the items of a fractional knapsack: each has a length, which
    # uses up capacity, and saves so much per unit of it. Take the best until the capacity is used
    # up, the last one in part. This is optimal: let r be what the last one saves per unit of
    # capacity. Priced at r, what is taken pays or breaks even, and what is not does not pay, so
    # the order of each product minimises its mean cost plus r times its usage. For any other
    # orders z' that fit,
    #   cost(z') >= cost(z) + r (usage @ z - usage @ z') >= cost(z),
    # as usage @ z = capacity >= usage @ z' and r > 0: r is the dual price of the capacity. A
    # product's segments save less and less, so the order in which they are taken is that in which
    # they follow one another.
    underage, overage, usage, capacity = numbers
    n, d, n_scenarios = turns.shape
    ratio = underage[:, :, None] - (underage + overage)[:, :, None] * before
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = ratio / usage[:, :, None]  # infinite where no capacity is used
    ratio = np.where(saves, ratio, -np.inf)
    first = np.zeros_like(turns[:, :, :1]) if nonnegative else turns[:, :, :1]
    with np.errstate(over="ignore"):
        length = np.diff(turns, axis=2, prepend=first)
        used = usage[:, :, None] * length
        room = capacity - (usage * first[:, :, 0]).sum(axis=1)
    # A stable sort: segments of one product stay in order, and ties go to the earlier product.
    flat = np.argsort(-ratio.reshape(n, -1), axis=1, kind="stable")
    with np.errstate(over="ignore"):
        filled = np.cumsum(np.take_along_axis(used.reshape(n, -1), flat, axis=1), axis=1)
    # Where rounding has it that everything fits after all, the last that saves is cut short.
    n_saving = saves.reshape(n, -1).sum(axis=1)
    n_whole = np.minimum((filled <= room[:, None]).sum(axis=1), n_saving - 1)
    rows = np.arange(n)
    product, segment = np.divmod(flat[rows, n_whole], n_scenarios)
    high = turns[rows, product, segment]
    if not nonnegative:
        # Below its first turn an order has no end: one more segment, with the ratio of the first.
        # The product with the least gives way to all that saves more.
        lead = ratio[:, :, 0]
        n_better = (ratio > lead.min(axis=1)[:, None, None]).reshape(n, -1).sum(axis=1)
        gives_way = (room < 0) | (n_whole < n_better)
        n_whole = np.maximum(n_whole, n_better)
        product = np.where(gives_way, d - 1 - lead[:, ::-1].argmin(axis=1), product)
        high = np.where(gives_way, turns[rows, product, 0], high)
    taken = np.zeros((n, d * n_scenarios), dtype=bool)
    np.put_along_axis(taken, flat, np.arange(d * n_scenarios) < n_whole[:, None], axis=1)
    z = _reached(turns, taken.reshape(n, d, n_scenarios).sum(axis=2), nonnegative)
    low = z[rows, product] if nonnegative else np.where(gives_way, -np.inf, z[rows, product])
    z[rows, product] = 0.0
    left = capacity - (usage * z).sum(axis=1)
    own = usage[rows, product]
    with np.errstate(over="ignore"):
        part = left / np.where(own > 0, own, 1.0)
    z[rows, product] = np.clip(part, low, high)
    return z


def _reached(turns: np.ndarray, n_taken: np.ndarray, nonnegative: bool) -> np.ndarray:
    """Return orders (n, d) after so many segments of each product; the first starts at 0.

    Without an end below it starts at the first turn instead.
    """
    last = np.take_along_axis(turns, np.maximum(n_taken - 1, 0)[:, :, None], axis=2)[:, :, 0]
    return np.where(n_taken > 0, last, 0.0) if nonnegative else last
