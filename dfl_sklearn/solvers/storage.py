"""The best schedule of a store against known prices: exact, for many rows at once."""

from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

_TIE = 1e-13  # states or slopes as near as that, as a share of their size, are one
_FEASIBLE = 1e-9  # by how much a limit may be missed, as a share of its terms
_GAP = 1e-12  # between a cost and its lower bound, as a share of the absolute terms of the cost
_ROUNDING = 2.0**-47  # of the largest terms that there can be
_MOST_NUMBERS = 4_000_000  # that are held for a part of the rows
_N_POINTS = 100  # of a slope, about


class Store(NamedTuple):
    """What a store can do, and what its use costs beside the price; each of shape (n,) or (1,).

    Attributes
    ----------
    capacity, max_charge, max_discharge : ndarray
        Upper limits of state, charge and discharge; the lower ones are 0.
    efficiency : ndarray
        What arrives in the store of a unit charged; positive.
    initial_state : ndarray
        From 0 to the capacity.
    state_penalty : ndarray
        On the squared distance of states from half of the capacity.
    rate_penalty : ndarray
        On squared charge and discharge; positive.
    """

    capacity: np.ndarray
    max_charge: np.ndarray
    max_discharge: np.ndarray
    efficiency: np.ndarray
    initial_state: np.ndarray
    state_penalty: np.ndarray
    rate_penalty: np.ndarray

    def of(self, rows: Any, n: int) -> "Store":
        """Return the numbers of some of n rows."""
        return Store(*(np.broadcast_to(each, n)[rows] for each in self))

    def states(self, charge: np.ndarray, discharge: np.ndarray) -> np.ndarray:
        """Return the state after each of T periods (n, T)."""
        flow = self.efficiency[:, None] * charge - discharge
        return self.initial_state[:, None] + np.cumsum(flow, axis=1)


class Schedule(NamedTuple):
    """What is done in each of T periods, the states, and what stored units are worth, all (n, T).

    A unit in the store is worth what its period would pay for one more: the multiplier of the
    equation of the state after the period.
    """

    charge: np.ndarray
    discharge: np.ndarray
    state: np.ndarray
    worth: np.ndarray


class UnprovenScheduleError(RuntimeError):
    """A schedule did not stand the check; `row` says which."""

    def __init__(self, row: int) -> None:
        super().__init__(f"The schedule of row {row} is not surely best.")
        self.row = row


def best_schedule(price: np.ndarray, store: Store) -> Schedule:
    r"""Return the schedule of least cost for prices (n, T).

    With charge c, discharge d and states :math:`s_t = s_{t-1} + \eta c_t - d_t`, all within their
    limits, the cost is :math:`\sum_t p_t (c_t - d_t) + \alpha (s_t - C/2)^2 + \beta (c_t^2 +
    d_t^2)`. As a function of the state before a period, the least cost from there on is convex and
    piecewise quadratic, and its slope is piecewise linear. The slopes are computed from the last
    period backwards, and followed from the initial state forwards, without iterations.

    Every schedule is checked: it keeps the limits, and what stored units are worth proves that no
    other schedule is cheaper. A row that fails the check is solved in exact arithmetic.

    Parameters
    ----------
    price : ndarray of shape (n, T)
        Finite.
    store : Store

    Raises
    ------
    UnprovenScheduleError
        If a row fails the check there too: its numbers are too large to be multiplied.
    """
    n, n_periods = price.shape
    step = max(1, _MOST_NUMBERS // (4 * _N_POINTS * max(1, n_periods)))
    parts = []
    for start in range(0, n, step):
        rows = slice(start, start + step)
        parts.append(_checked(price[rows], store.of(rows, n), start))
    if not parts:
        return Schedule(*(np.zeros_like(price) for _ in range(4)))
    return Schedule(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _checked(price: np.ndarray, store: Store, first: int) -> Schedule:
    # What is too large to be computed with fails the check.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        store = _reachable(price, store)
        found = _schedule(price, store, _TIE)
        for i in np.flatnonzero(~is_proven(price, store, found)):
            row = slice(i, i + 1)
            there = store.of(row, len(price))
            again = exact_schedule(price[row], there)
            if again is None or not is_proven(price[row], there, again)[0]:
                raise UnprovenScheduleError(first + int(i))
            for into, values in zip(found, again, strict=True):
                into[i] = values[0]
    return found


def _reachable(price: np.ndarray, store: Store) -> Store:
    """Return the store with limits that no schedule of least cost goes beyond, and no others.

    Limits far beyond what is done, as they stand for "no limit", would take the digits of the rest.
    """
    capacity, charge_limit, discharge_limit, efficiency, initial, pull, penalty = store
    n_periods = price.shape[1]
    # The best schedule costs no more than doing nothing, and prices cannot earn more than that.
    idle = n_periods * pull * (initial - capacity / 2) ** 2
    largest = np.abs(price).max(axis=1, initial=0.0)
    earned = n_periods * largest**2 / (2 * penalty)
    rate = (largest + np.sqrt(largest**2 + 4 * penalty * (idle + earned))) / (2 * penalty)
    # Twice the bound: there is nothing to be gained from a tight one.
    charge = np.fmin(charge_limit, 2 * rate)
    discharge = np.fmin(discharge_limit, 2 * rate)
    # Nor can more arrive than there is room for, or leave than is there.
    charge = np.fmin(charge, 2 * (capacity + discharge) / efficiency)
    discharge = np.fmin(discharge, 2 * (capacity + efficiency * charge))
    # The capacity is a limit and, where states are pulled to its middle, more than that.
    room = initial + n_periods * efficiency * charge
    capacity = np.where(pull > 0, capacity, np.fmin(capacity, 2 * room))
    return Store(capacity, charge, discharge, efficiency, initial, pull, penalty)


def exact_schedule(price: np.ndarray, store: Store) -> Schedule | None:
    """Return the schedule as :func:`best_schedule` does, in exact arithmetic, rounded once.

    None where a number of it is too large for a float.
    """

    def exact(values: np.ndarray) -> np.ndarray:
        entries = [Fraction(float(each)) for each in values.ravel()]
        return np.array(entries, dtype=object).reshape(values.shape)

    found = _schedule(exact(price), Store(*(exact(each) for each in store)), Fraction(0))
    try:
        return Schedule(*(each.astype(np.float64) for each in found))
    except OverflowError:
        return None


# -- the recursion, in floats or in fractions --------------------------------------------


class _Slope(NamedTuple):
    """The slope of a convex, piecewise quadratic cost in the state, by points (n, K).

    Slopes and the states at which they are reached, both in ascending order and linear in between.
    Two points with the same state are a kink of the cost, two with the same slope a stretch on
    which it is linear.
    """

    slope: np.ndarray
    state: np.ndarray


def _schedule(price: np.ndarray, store: Store, tie: Any) -> Schedule:
    capacity, charge_limit, discharge_limit, efficiency, state, pull, _ = store
    slack = tie * (capacity + efficiency * charge_limit + discharge_limit)
    largest = np.abs(price).max(axis=1, keepdims=True, initial=0)
    periods: list[tuple[np.ndarray, ...]] = []
    ahead = None
    for t, (before, after) in enumerate(_slopes(price, store)):
        # All slopes in [low, high] belong to this state. Where the state is not at a limit, the
        # slope before it follows from that of the period before.
        low = _value(before.state, before.slope, (state - slack)[:, None], "left")
        high = _value(before.state, before.slope, (state + slack)[:, None], "right")
        mu = low if ahead is None else np.minimum(np.maximum(ahead, low), high)
        charge, discharge = (each[:, 0] for each in _rates(price[:, t], mu, store))
        # The slope tells the state after the period too; the rates decide what it leaves open.
        # Read off, a state at a limit or a kink is that to the last digit.
        target = (state + efficiency * charge - discharge)[:, None]
        near = tie * (np.abs(mu) + largest)
        for side, bound, shift in (("left", np.maximum, -near), ("right", np.minimum, near)):
            target = bound(target, _value(after.slope, after.state, mu + shift, side))
        charge, discharge = _leading(state, target[:, 0], charge, discharge, store)
        state = target[:, 0]
        periods.append((charge, discharge, state, -mu[:, 0]))
        ahead = mu - (2 * pull * (state - capacity / 2))[:, None]
    return Schedule(*(np.stack(each, axis=1) for each in zip(*periods, strict=True)))


def _slopes(price: np.ndarray, store: Store) -> list[tuple[_Slope, _Slope]]:
    """Return for each period the slope of the least cost from there on, before it and after it.

    The first in the state before the period; the other in the state after it, the penalty for that
    state included.
    """
    capacity, pull = store.capacity[:, None], 2 * store.state_penalty[:, None]
    nothing = 0 * capacity
    state = np.concatenate([nothing, capacity], axis=1)
    after = _Slope(pull * (state - capacity / 2), state)
    found = []
    for t in reversed(range(price.shape[1])):
        # A slope after the period is one before it too, at the state from which the rates that are
        # best with that slope lead there. This turns where a rate reaches a limit.
        turns, charge, discharge = _turns(price[:, t], store)
        flow = store.efficiency[:, None] * charge - discharge
        at_turns = _value(after.slope, after.state, turns, "right") - flow
        charge, discharge = _rates(price[:, t], after.slope, store)
        state = after.state - (store.efficiency[:, None] * charge - discharge)
        # Both ascend, so that sorting them one by one keeps the pairs.
        before = _Slope(
            np.sort(np.concatenate([after.slope, turns], axis=1), axis=1),
            np.sort(np.concatenate([state, at_turns], axis=1), axis=1),
        )
        found.append((before, after))
        # What lies outside of the capacity is gathered at its ends, and all but one dropped.
        low = _value(before.state, before.slope, nothing, "right")
        high = np.maximum(_value(before.state, before.slope, capacity, "left"), low)
        n_points = before.state.shape[1]
        first = int((before.state <= 0).sum(axis=1).min(initial=n_points)) - 1
        first = min(max(first, 0), n_points - 2)
        last = n_points - int((before.state >= capacity).sum(axis=1).min(initial=n_points))
        kept = slice(first, max(last, first + 1) + 1)
        state = np.minimum(np.maximum(before.state[:, kept], nothing), capacity)
        slope = np.minimum(np.maximum(before.slope[:, kept], low), high)
        after = _Slope(slope + pull * (state - capacity / 2), state)
    return found[::-1]


def _rates(price: np.ndarray, slope: np.ndarray, store: Store) -> tuple[np.ndarray, np.ndarray]:
    """Return the best charge and discharge (n, K) where a stored unit is worth -slope (n, K)."""
    _, charge_limit, discharge_limit, efficiency, _, _, penalty = (each[:, None] for each in store)
    price = price[:, None]
    charge = (-efficiency * slope - price) / (2 * penalty)
    discharge = (price + slope) / (2 * penalty)
    return (
        np.minimum(np.maximum(charge, 0 * charge_limit), charge_limit),
        np.minimum(np.maximum(discharge, 0 * discharge_limit), discharge_limit),
    )


def _turns(price: np.ndarray, store: Store) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the slopes (n, 4) at which a rate reaches a limit, with charge and discharge there."""
    _, charge_limit, discharge_limit, efficiency, _, _, penalty = store
    turns = np.stack(
        [
            -price / efficiency,
            -(price + 2 * penalty * charge_limit) / efficiency,
            -price,
            -(price - 2 * penalty * discharge_limit),
        ],
        axis=1,
    )
    charge, discharge = _rates(price, turns, store)
    # Known exactly, where the formula would round.
    charge[:, 0], charge[:, 1] = 0 * price, charge_limit
    discharge[:, 2], discharge[:, 3] = 0 * price, discharge_limit
    return turns, charge, discharge


def _value(x: np.ndarray, f: np.ndarray, at: np.ndarray, side: str) -> np.ndarray:
    """Return f (n, K) at arguments (n, q) by linear interpolation between ascending x (n, K).

    Beyond the ends f is constant. Where x repeats, the value is that of the last one (`side`
    "right") or of the first ("left").
    """
    x_, at_ = x[:, :, None], at[:, None, :]
    n_before = (x_ <= at_ if side == "right" else x_ < at_).sum(axis=1)
    last = x.shape[1] - 1
    left = np.clip(n_before - 1, 0, last - 1)
    x_0, x_1 = (np.take_along_axis(x, left + i, axis=1) for i in (0, 1))
    f_0, f_1 = (np.take_along_axis(f, left + i, axis=1) for i in (0, 1))
    apart = x_1 - x_0
    share = (at - x_0) / np.where(apart > 0, apart, 1)
    value = np.where(share < 1, f_0 + share * (f_1 - f_0), f_1)
    return np.where(n_before > last, f[:, -1:], np.where(n_before == 0, f[:, :1], value))


def _leading(
    state: np.ndarray, target: np.ndarray, charge: np.ndarray, discharge: np.ndarray, store: Store
) -> tuple[np.ndarray, np.ndarray]:
    """Return rates that lead from one state to another, where those given do but for rounding."""
    _, charge_limit, discharge_limit, efficiency, *_ = store
    # Rates at a limit stay there.
    is_free = (charge > 0) & (charge < charge_limit)
    more = (target - (state + efficiency * charge - discharge)) / efficiency
    moved = np.minimum(np.maximum(charge + more, 0 * charge), charge_limit)
    charge = np.where(is_free, moved, charge)
    is_free = (discharge > 0) & (discharge < discharge_limit)
    more = state + efficiency * charge - discharge - target
    moved = np.minimum(np.maximum(discharge + more, 0 * discharge), discharge_limit)
    return charge, np.where(is_free, moved, discharge)


# -- the proof ---------------------------------------------------------------------------


def is_proven(price: np.ndarray, store: Store, schedule: Schedule) -> np.ndarray:
    """Return which schedules (n,) keep the limits and are proven to be best."""
    charge, discharge, _, worth = schedule
    limits = store.capacity, store.max_charge, store.max_discharge
    capacity, charge_limit, discharge_limit = (each[:, None] for each in limits)
    pull, penalty = store.state_penalty[:, None], store.rate_penalty[:, None]
    state = store.states(charge, discharge)
    missed = shares_missed(store, charge, discharge).max(axis=1, initial=0.0)
    # With the equations of the states priced by their multipliers the cost falls apart into a sum
    # over single numbers; each of these is compared with the best one.
    next_worth = np.concatenate([worth[:, 1:], 0 * worth[:, :1]], axis=1)
    gap = (
        _excess(penalty, price - store.efficiency[:, None] * worth, charge, charge_limit)
        + _excess(penalty, worth - price, discharge, discharge_limit)
        + _excess(pull, worth - next_worth - pull * capacity, state, capacity)
    ).sum(axis=1)
    squares = pull * (state - capacity / 2) ** 2 + penalty * (charge**2 + discharge**2)
    spent = (np.abs(price) * (charge + discharge) + squares).sum(axis=1)
    sizes = np.abs(price) + np.abs(worth)
    most = sizes * (charge_limit + discharge_limit + capacity) + pull * capacity**2
    most = (most + penalty * (charge_limit**2 + discharge_limit**2)).sum(axis=1)
    # An infinite bound proves nothing.
    is_best = (gap <= _GAP * spent + _ROUNDING * most) & np.isfinite(spent + most)
    return is_best & (missed <= _FEASIBLE)


def _excess(square: np.ndarray, linear: np.ndarray, x: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Return ``square * x**2 + linear * x`` less its minimum over [0, upper], as positive terms."""
    vertex = -linear / (2 * np.where(square > 0, square, 1.0))
    end = np.where(linear > 0, 0.0, np.where(linear < 0, upper, x))
    best = np.where(square > 0, np.clip(vertex, 0.0, upper), end)
    inside = (square > 0) & (vertex > 0) & (vertex < upper)
    slope = np.where(inside, 0.0, 2 * square * best + linear)
    return square * (x - best) ** 2 + np.abs(slope * (x - best))


def limits_missed(store: Store, charge: np.ndarray, discharge: np.ndarray) -> np.ndarray:
    """Return by how much charge, discharge and state are outside of their limits (n, 3 T)."""
    values = charge, discharge, store.states(charge, discharge)
    limits = store.max_charge, store.max_discharge, store.capacity
    outside = [
        np.maximum(np.maximum(-each, each - limit[:, None]), 0.0)
        for each, limit in zip(values, limits, strict=True)
    ]
    return np.concatenate(outside, axis=1)


def shares_missed(store: Store, charge: np.ndarray, discharge: np.ndarray) -> np.ndarray:
    """Return :func:`limits_missed` as a share of the absolute terms of each limit."""
    inward, outward = np.abs(charge), np.abs(discharge)
    moved = np.cumsum(store.efficiency[:, None] * inward + outward, axis=1)
    values = inward, outward, np.abs(store.initial_state)[:, None] + moved
    limits = store.max_charge, store.max_discharge, store.capacity
    size = np.concatenate(
        [each + limit[:, None] for each, limit in zip(values, limits, strict=True)], axis=1
    )
    missed = limits_missed(store, charge, discharge)
    return np.where(missed > 0, missed / np.where(size > 0, size, 1.0), 0.0)
