"""How the best schedule of a store follows prices and penalty."""

import numpy as np

from .storage import Schedule, Store

_AT_LIMIT = 1e-9  # as a share of the limit


def schedule_slopes(
    store: Store, schedule: Schedule, to_charge: np.ndarray, to_discharge: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return slopes in the prices (n, T) and in the rate penalty (n,).

    Of a function of charge and discharge whose own slopes are given, (n, T) each. What is at a
    limit stays there, and the rest x solves the linear equations :math:`Q x - g + A^\top \mu = 0`,
    :math:`A x = 0`, with g the slopes given, Q the second derivatives of the cost and A the
    equations of the states. Their solution is that of another schedule, without limits: the slope
    of the least cost in the state is linear, :math:`B \mu = A s + D`, and is followed from the
    last period backwards as in :func:`best_schedule`. With A and B of at least 0 nothing cancels,
    and no equation is divided by 0 where several limits hold at once.
    """
    charge, discharge, state, _ = schedule
    capacity, charge_limit, discharge_limit, efficiency, _, pull, penalty = store
    free_charge = _is_inside(charge, charge_limit)
    free_discharge = _is_inside(discharge, discharge_limit)
    free_state = _is_inside(state, capacity)
    twice = 2 * penalty[:, None]
    # Without a store, the rates would follow as `own`; a slope of 1 of the cost takes `give` away.
    own = np.where(free_charge, efficiency[:, None] * to_charge, 0.0)
    own = (own - np.where(free_discharge, to_discharge, 0.0)) / twice
    give = np.where(free_charge, efficiency[:, None] ** 2, 0.0)
    give = (give + free_discharge) / twice

    n, n_periods = charge.shape
    A, B, D = np.zeros(n), np.ones(n), np.zeros(n)
    lines = []
    for t in reversed(range(n_periods)):
        free = free_state[:, t]
        A = np.where(free, A + 2 * pull * B, 1.0)
        B, D = np.where(free, B, 0.0), np.where(free, D, 0.0)
        B, D = B + give[:, t] * A, D + own[:, t] * A
        size = A + B
        A, B, D = A / size, B / size, D / size
        lines.append((A, B, D))

    at, by_charge, by_discharge = np.zeros(n), np.zeros_like(charge), np.zeros_like(charge)
    for t, (A, B, D) in enumerate(lines[::-1]):
        # Where B is 0 no rate can follow before the state is at a limit.
        mu = np.where(B > 0, (A * at + D) / np.where(B > 0, B, 1.0), 0.0)
        up = (to_charge[:, t] - efficiency * mu) / twice[:, 0]
        down = (to_discharge[:, t] + mu) / twice[:, 0]
        by_charge[:, t] = np.where(free_charge[:, t], up, 0.0)
        by_discharge[:, t] = np.where(free_discharge[:, t], down, 0.0)
        flow = efficiency * by_charge[:, t] - by_discharge[:, t]
        at = np.where(free_state[:, t], at + flow, 0.0)
    in_penalty = -2 * (by_charge * charge + by_discharge * discharge).sum(axis=1)
    return by_discharge - by_charge, in_penalty


def _is_inside(values: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Return what is between 0 and its limit, and at neither."""
    slack = _AT_LIMIT * limit[:, None]
    return (values > slack) & (values < limit[:, None] - slack)
