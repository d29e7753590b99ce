"""The best schedule of a store for the worst prices of a box or an ellipsoid."""

from typing import Any

import numpy as np
from scipy import sparse

from .._utils.optional import import_optional
from .conic import ConicProgram, solve_cone
from .storage import Store, best_schedule, shares_missed

_GAP = 1e-6  # of the absolute terms of a cost, by which a schedule may be worse than the best one
_FEASIBLE = 1e-7  # by how much a limit may be missed, as a share


def best_for_box(price: np.ndarray, reach: np.ndarray, store: Store) -> np.ndarray:
    r"""Return the schedules (n, 2 T) of least cost for prices at most `reach` (n, T) away.

    With what is bought less what is sold in a period, b = c - d, the worst prices of a box cost
    :math:`p^\top b + r^\top |b|`. Where none of them is negative, nothing is gained by charging and
    discharging at once: what is bought costs p + r then, and what is sold earns p - r. Elsewhere a
    bound of \|b\| is a variable.

    Parameters
    ----------
    price, reach : ndarray of shape (n, T)
    store : Store
        Of one store.
    """
    n_periods = price.shape[1]
    decisions = np.empty((len(price), 2 * n_periods))
    is_plain = (price >= reach).all(axis=1)
    for rows in (is_plain, ~is_plain):
        if rows.any():
            decisions[rows] = _best_for_box(price[rows], reach[rows], store, rows is is_plain)
    return decisions


def _best_for_box(price: np.ndarray, reach: np.ndarray, store: Store, is_plain: bool) -> np.ndarray:
    import torch

    from .quadratic_programs import QuadraticPrograms, Sides

    n_periods = price.shape[1]
    Q, q, states = _quadratic(store, n_periods)
    rows, limits = np.concatenate([states, -states]), _limits(store, n_periods)
    upper = np.repeat([store.max_charge[0], store.max_discharge[0]], n_periods)
    slope = np.concatenate([price, -price], axis=1)
    if is_plain:
        slope = slope + np.tile(reach, (1, 2))
    else:
        one = np.eye(n_periods)
        rows = np.concatenate([rows, np.hstack([one, -one]), np.hstack([-one, one])])
        bounds = np.concatenate([np.zeros((2 * n_periods, n_periods)), -one, -one])
        rows, limits = np.hstack([rows, bounds]), np.append(limits, np.zeros(2 * n_periods))
        upper = np.append(upper, np.full(n_periods, np.inf))
        Q, q = np.pad(Q, (0, n_periods)), np.append(q, np.zeros(n_periods))
        slope = np.concatenate([slope, reach], axis=1)
    n, length = len(q), np.linalg.norm(rows, axis=1)
    quadratic, equations, inequalities = (
        torch.as_tensor(each) for each in (Q, np.zeros((0, n)), rows / length[:, None])
    )
    programs = QuadraticPrograms(quadratic, equations, inequalities, is_definite=is_plain)
    sides = (np.zeros(0), limits / length, np.zeros(n), upper)
    found = programs.solve(
        torch.as_tensor(q + slope), Sides(*(torch.as_tensor(each)[None] for each in sides))
    )
    return found.z.numpy()[:, : 2 * n_periods]


def best_for_ellipsoid(price: np.ndarray, root: np.ndarray, store: Store) -> np.ndarray:
    r"""Return the schedules (n, 2 T) of least cost for prices in ellipsoids.

    The worst prices p + L u with \|u\| <= 1 cost :math:`p^\top b + \|L^\top b\|_2`.

    Parameters
    ----------
    price : ndarray of shape (n, T)
    root : ndarray of shape (n, T, T)
        L of each row.
    store : Store
        Of one store.
    """
    clarabel: Any = import_optional("clarabel", extra="cvxpy", needed_by="method='ellipsoid'")
    n_periods = price.shape[1]
    n = 2 * n_periods
    Q, q, states = _quadratic(store, n_periods)
    P = sparse.csc_array(sparse.block_diag([Q, np.zeros((1, 1))]))
    most = np.repeat([store.max_charge[0], store.max_discharge[0]], n_periods)
    linear = np.block([[states], [-states], [np.eye(n)], [-np.eye(n)]])
    upper = np.concatenate([_limits(store, n_periods), most, np.zeros(n)])
    cones = [clarabel.NonnegativeConeT(len(upper)), clarabel.SecondOrderConeT(n_periods + 1)]
    rows = np.zeros((len(upper) + n_periods + 1, n + 1))
    rows[: len(upper), :n] = linear
    rows[len(upper), -1] = -1.0
    upper = np.append(upper, np.zeros(n_periods + 1))
    slope = np.concatenate([price, -price], axis=1) + q
    z, worst = np.empty((len(price), n)), np.empty(price.shape)
    for i in range(len(price)):
        rows[-n_periods:, :n] = -np.hstack([root[i].T, -root[i].T])
        c = np.append(slope[i], 1.0)
        x, dual = _solved(clarabel, P, c, sparse.csc_array(rows), upper, cones)
        z[i], worst[i] = x[:n], -dual[-n_periods:]
    z = _within(z, store, n_periods)
    for i in np.flatnonzero(~_is_best(z, price, root, worst, store, (Q, q))).tolist():
        rows[-n_periods:, :n] = -np.hstack([root[i].T, -root[i].T])
        program = ConicProgram(
            *(P, np.append(slope[i], 1.0), sparse.csc_array(rows), upper),
            *(0, len(upper) - n_periods - 1, cones, (n_periods + 1,)),
        )
        found, said = solve_cone(program)
        if found is None:
            raise ValueError(f"No schedule is surely best for the ellipsoid of row {i}: {said}.")
        z[i] = _within(found.x[None, :n], store, n_periods)[0]
    return z


def _solved(
    clarabel: Any, P: Any, c: Any, A: Any, b: Any, cones: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return a minimiser and the dual values of the rows, which may be wrong."""
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    size = float(np.abs(c).max())
    upper = sparse.csc_array(sparse.triu(P)) / size
    found = clarabel.DefaultSolver(upper, c / size, A, b, cones, settings).solve()
    return np.asarray(found.x), np.asarray(found.z) * size


def _within(z: np.ndarray, store: Store, n_periods: int) -> np.ndarray:
    """Return schedules (n, 2 T) within the limits of rates, which they miss by rounding."""
    most = np.repeat([store.max_charge[0], store.max_discharge[0]], n_periods)
    return np.clip(z, 0.0, most)


def _is_best(
    z: np.ndarray,
    price: np.ndarray,
    root: np.ndarray,
    worst: np.ndarray,
    store: Store,
    quadratic: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Return whether schedules (n, 2 T) are proven to be best, to a share of their costs.

    The best one costs at least what the exact schedule for any prices in the ellipsoid costs: those
    of errors `worst` (n, T) in the unit ball, which dual values suggest.
    """
    n_periods = price.shape[1]
    everywhere = store.of(np.zeros(len(z), dtype=int), len(z)) if len(z) else store
    limits = shares_missed(everywhere, z[:, :n_periods], z[:, n_periods:])
    length = np.linalg.norm(worst, axis=1, keepdims=True)
    there = price + np.einsum("nij,nj->ni", root, worst / np.maximum(length, 1.0))
    best = best_schedule(there, everywhere)
    other = np.concatenate([best.charge, best.discharge], axis=1)
    Q, q = quadratic
    costs = []
    for each, at in ((z, price), (other, there)):
        bought = each[:, :n_periods] - each[:, n_periods:]
        penalty = 0.5 * np.einsum("ni,ij,nj->n", each, Q, each) + each @ q
        costs.append((at * bought).sum(axis=1) + penalty)
    bought = z[:, :n_periods] - z[:, n_periods:]
    costs[0] = costs[0] + np.linalg.norm(np.einsum("nij,ni->nj", root, bought), axis=1)
    # Of what a schedule at full rates would be paid for.
    rates = max(float(store.max_charge[0]), float(store.max_discharge[0]))
    size = rates * np.abs(there).max(axis=1) + np.abs(costs[0])
    return (costs[0] - costs[1] <= _GAP * size) & (limits.max(axis=1) <= _FEASIBLE)


def _quadratic(store: Store, n_periods: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Q and q of the penalties z Q z / 2 + q z, and the states as a matrix times z."""
    capacity, _, _, efficiency, initial, pull, penalty = (float(each[0]) for each in store)
    so_far = np.tri(n_periods)
    states = np.concatenate([efficiency * so_far, -so_far], axis=1)
    Q = 2 * pull * states.T @ states + 2 * penalty * np.eye(2 * n_periods)
    return Q, 2 * pull * (initial - capacity / 2) * states.sum(axis=0), states


def _limits(store: Store, n_periods: int) -> np.ndarray:
    """Return what states may be above, and below, the initial one."""
    room, held = store.capacity[0] - store.initial_state[0], store.initial_state[0]
    return np.repeat([room, held], n_periods)
